// SPDX-License-Identifier: Apache-2.0
// Aedes as it comes: MQTT 3.1.1, everything in memory. broker.js PORT; prints a line when it listens.
const { Aedes } = require('aedes')
const net = require('node:net')

Aedes.createBroker().then((aedes) => {
  net.createServer(aedes.handle).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listens'))
})
