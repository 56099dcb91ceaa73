// SPDX-License-Identifier: Apache-2.0
// node check.mjs FILE: checks FILE, a JSON array of Kubernetes objects, against the types in ./node_modules.
//
// Twice. As TypeScript: an object literal with a field that the type does not have is an error, at any depth, as is a
// value of another type. Then by the validators made of the same schemas: required fields, enumerations, formats,
// patterns. Prints a line for each finding; exit status 1 when there is one.
import fs from "node:fs";
import path from "node:path";
import ts from "typescript";

const packages = { "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1" };
const moduleOf = ({ apiVersion, kind }) => `${packages[apiVersion] ?? `kubernetes-models/${apiVersion}`}/${kind}`;
const documents = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const findings = [];

const source = documents.map((document, i) =>
  `import type { I${document.kind} as T${i} } from "${moduleOf(document)}";\n` +
  `export const d${i}: T${i} = ${JSON.stringify(document, null, 1)};\n`).join("");
const file = path.resolve("manifests.ts");
fs.writeFileSync(file, source);
// Not skipLibCheck: a type that is not found would be "any", which takes everything.
const program = ts.createProgram([file], { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, types: [],
  module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler });
for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
  const line = diagnostic.file?.getLineAndCharacterOfPosition(diagnostic.start).line;
  const at = line === undefined ? "" : diagnostic.file.text.split("\n")[line].trim();
  findings.push(`${path.basename(diagnostic.file?.fileName ?? "")}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, "\n")} at ${at}`);
}

for (const document of documents) {
  const models = await import(path.resolve("node_modules", `${moduleOf(document)}.js`));
  try {
    new models[document.kind](document).validate();
  } catch (error) {
    findings.push(`${document.kind} ${document.metadata?.name}: ${error.message}`);
  }
}
for (const finding of findings) console.log(finding);
console.log(`${documents.length} objects, ${findings.length} findings`);
process.exit(findings.length ? 1 : 0);
