package device

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func FuzzSplitBlob(f *testing.F) {
	public := tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256})
	f.Add(append(tpm2.Marshal(tpm2.TPM2BPrivate{Buffer: []byte("private")}), tpm2.Marshal(public)...))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, blob []byte) {
		private, public, err := splitBlob(blob)
		if err == nil && !bytes.Equal(append(tpm2.Marshal(private), tpm2.Marshal(public)...), blob) {
			t.Fatalf("%x", blob)
		}
	})
}
