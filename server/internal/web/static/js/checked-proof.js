// A worker that checks what vouches for a recording, by the verifier compiled to WebAssembly (pkg/cmd/camseal-wasm), and answers with
// its findings and the sealed list of parts.
'use strict';

self.onmessage = async ({data: {rec, lang, verifier, runner}}) => {
  try {
    importScripts(runner);
    const go = new self.Go();
    const [program, proofs] = await Promise.all([
      WebAssembly.instantiateStreaming(fetch(verifier), go.importObject),
      fetch(`/recordings/${rec}/proof`, {cache: 'no-store'}).then(answer => {
        if (!answer.ok) throw new Error(`the proofs: ${answer.status}`);
        return answer.arrayBuffer();
      }),
    ]);
    go.run(program.instance);
    self.postMessage(JSON.parse(self.camsealProofs(new Uint8Array(proofs), lang, Date.now())));
  } catch (error) {
    self.postMessage({failed: String(error)});
  }
  self.close();
};
