package app

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/big"
	"sync"
	"time"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// endorsement is an endorsement key outside a TPM, with its maker's certificate and root.
type endorsement struct {
	key    *rsa.PrivateKey
	public []byte // TPMT_PUBLIC
	cert   []byte // DER
	root   []byte // PEM
}

// sharedEK is one key for all test devices: they differ in their attestation keys.
var sharedEK = sync.OnceValue(func() *endorsement { return newEndorsement("Test TPM Works") })

// newEndorsement makes a key under a new maker's root.
func newEndorsement(maker string) *endorsement {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ca, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{maker}, CommonName: "EK Root"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	must(err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageKeyEncipherment}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), ca)
	must(err)
	policy := []byte{0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
		0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa} // TCG EK Credential Profile, template L-1
	public := append([]byte{0, 0x01, 0, 0x0B, 0, 3, 0, 0xb2, 0, 32}, policy...)
	public = append(public, 0, 6, 0, 0x80, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 1, 0)
	return &endorsement{key: key, public: append(public, key.N.Bytes()...), cert: cert, root: pemOf("CERTIFICATE", rootDER)}
}

// activate opens a challenge as a TPM does that holds this key and the attestation key with this name (TPM 2.0 Part 1, 24).
func (e *endorsement) activate(c transport.EnrolChallenge, ak evidence.DeviceID) ([]byte, error) {
	seed, err := e.key.Decrypt(nil, c.Encrypted, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: []byte("IDENTITY\x00")})
	if err != nil {
		return nil, err
	}
	if len(c.Credential) < 34 {
		return nil, errors.New("credential too short")
	}
	kdf := func(label string, context []byte, bits uint32) []byte {
		h := hmac.New(sha256.New, seed)
		h.Write(binary.BigEndian.AppendUint32(nil, 1))
		h.Write(append([]byte(label), 0))
		h.Write(context)
		h.Write(binary.BigEndian.AppendUint32(nil, bits))
		return h.Sum(nil)[:bits/8]
	}
	integrity, encrypted := c.Credential[2:34], c.Credential[34:]
	h := hmac.New(sha256.New, kdf("INTEGRITY", nil, 256))
	h.Write(encrypted)
	h.Write(ak[:])
	if !hmac.Equal(h.Sum(nil), integrity) {
		return nil, errors.New("the challenge is for other keys")
	}
	block, err := aes.NewCipher(kdf("STORAGE", ak[:], 128))
	if err != nil {
		return nil, err
	}
	plain, last := make([]byte, len(encrypted)), make([]byte, aes.BlockSize)
	for i := 0; i < len(encrypted); i += aes.BlockSize { // CFB
		stream := make([]byte, aes.BlockSize)
		block.Encrypt(stream, last)
		for j := i; j < min(i+aes.BlockSize, len(encrypted)); j++ {
			plain[j] = encrypted[j] ^ stream[j-i]
		}
		copy(last, encrypted[i:])
	}
	return plain[2:], nil
}

// request is what the device says to enrol.
func (d *device) request(token string) transport.EnrolRequest {
	proof, err := d.sealer.Certify(&d.key.PublicKey)
	check(d.t, err)
	return transport.EnrolRequest{Token: token, Class: evidence.ClassTPM, AK: d.sealer.Key().Bytes(), EK: d.ek.public, EKCert: d.ek.cert, TLSKey: d.spki(),
		TLSProof: proof, Counter: d.counterRef(), Software: "test 1"}
}

func (c *client) begin(req transport.EnrolRequest) (a transport.EnrolChallenge, err error) {
	raw, err := json.Marshal(req)
	if err != nil {
		return a, err
	}
	return a, c.do("POST", "/v1/enrol", raw, &a)
}

func (c *client) finish(id string, proof []byte) (a transport.Enrolled, err error) {
	raw, err := json.Marshal(transport.EnrolAnswer{Proof: proof})
	if err != nil {
		return a, err
	}
	return a, c.do("POST", "/v1/enrol/"+id, raw, &a)
}

// enrol enrols the device, which has its certificate then.
func (d *device) enrol(r *rig, token string) error {
	c := d.client(r)
	challenge, err := c.begin(d.request(token))
	if err != nil {
		return err
	}
	secret, err := d.ek.activate(challenge, d.id())
	if err != nil {
		return err
	}
	done, err := c.finish(challenge.ID, secret)
	if err != nil {
		return err
	}
	if done.Device != d.id() || done.HomeLog != r.vkey {
		return errors.New("enrolled as another device, or with another home log")
	}
	d.use(done.Certificate)
	return nil
}

func (d *device) use(certificate []byte) {
	d.cert = tls.Certificate{Certificate: [][]byte{bytes.Clone(certificate)}, PrivateKey: d.key}
}
