#!/usr/bin/env node
// A native-looking `solc` over the JavaScript compiler of package-lock.json, for forge.
//
// forge asks a compiler two things: its version, and to compile one standard-JSON document. It
// would otherwise download a native compiler, which no lock file pins. Output goes through
// writeSync in a loop: a pipe takes at most 64 KiB at once, and an early exit would cut the rest.
"use strict";

const fs = require("node:fs");

const STDIN = 0;
const STDOUT = 1;

function print(text) {
  const bytes = Buffer.from(text, "utf8");
  for (let written = 0; written < bytes.length; ) {
    try {
      written += fs.writeSync(STDOUT, bytes, written);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

function main(args) {
  const solc = require("solc");
  if (args.includes("--version")) {
    // forge parses the platform suffix of a native build and refuses the JavaScript one.
    const version = solc.version().replace(".Emscripten.clang", ".Linux.g++");
    print(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
    return 0;
  }
  if (args.includes("--standard-json")) {
    print(solc.compile(fs.readFileSync(STDIN, "utf8")));
    return 0;
  }
  process.stderr.write(`solc.cjs: only --version and --standard-json, got: ${args.join(" ")}\n`);
  return 1;
}

process.exitCode = main(process.argv.slice(2));
