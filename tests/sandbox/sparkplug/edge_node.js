// SPDX-License-Identifier: Apache-2.0
// A Sparkplug B edge node on the sparkplug-client of npm. It does what stdin tells it, a JSON line each:
//   {"do": "data", "device": "d" or null, "metrics": [...]}   {"do": "ddeath", "device": "d"}   {"do": "die"}
// and tells on stdout what happened to it: {"event": "birth"}, {"event": "ncmd", "metrics": [...]}.
"use strict";
const [url, group, node] = process.argv.slice(2);
const sparkplug = require("sparkplug-client");
const client = sparkplug.newClient({
  serverUrl: url, username: "", password: "", groupId: group, edgeNode: node, clientId: `edge-${node}`,
});
const say = (what) => process.stdout.write(JSON.stringify(what, (_, v) => (typeof v === "bigint" ? String(v) : v)) + "\n");

const motor = () => [
  {name: "Motor/Temperature", alias: 11, type: "Int32", value: -12},
  {name: "Motor/Speed", alias: 12, type: "UInt32", value: 4000000000},
  {name: "Motor/Vibration", alias: 13, type: "Float", value: 2.7},
  {name: "Motor/Serial", alias: 14, type: "String", value: "M-\u00e4 7"},
];

function births() {
  const timestamp = Date.now();
  client.publishNodeBirth({timestamp, metrics: [
    {name: "Node Control/Rebirth", type: "Boolean", value: false},
    {name: "Offset", alias: 1, type: "Int16", value: -300},
  ]});
  client.publishDeviceBirth("motor-7", {timestamp, metrics: motor()});
  say({event: "birth"});
}

client.on("birth", births);
client.on("ncmd", (payload) => {
  const metrics = payload.metrics.map((m) => ({name: m.name, value: m.value}));
  say({event: "ncmd", metrics});
  if (metrics.some((m) => m.name === "Node Control/Rebirth" && m.value === true)) births();
});

require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  const order = JSON.parse(line);
  const payload = {timestamp: Date.now(), metrics: order.metrics || []};
  if (order.do === "data" && order.device) client.publishDeviceData(order.device, payload);
  else if (order.do === "data") client.publishNodeData(payload);
  else if (order.do === "ddeath") client.publishDeviceDeath(order.device, payload);
  else if (order.do === "die") process.kill(process.pid, "SIGKILL"); // the broker speaks its last will
});
