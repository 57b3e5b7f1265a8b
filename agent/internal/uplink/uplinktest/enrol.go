package uplinktest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net/http"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"camseal/pkg/attestation"
	"camseal/pkg/attestation/challenge"
	"camseal/pkg/evidence"
	camlog "camseal/pkg/tlog"
	"camseal/pkg/transport"
)

// enrolment is one under way, or done.
type enrolment struct {
	request transport.EnrolRequest
	device  evidence.DeviceID
	secret  []byte
}

// Token issues a one-time token.
func (s *Server) Token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b [16]byte
	must2(rand.Read(b[:]))
	token := hex.EncodeToString(b[:])
	s.tokens[token] = true
	return token
}

// Enrolments is how many were completed.
func (s *Server) Enrolments() (n int) {
	s.With(func() { n = s.enrolled })
	return n
}

func (s *Server) serveEnrol(w http.ResponseWriter, r *http.Request) {
	var e enrolment
	if json.NewDecoder(r.Body).Decode(&e.request) != nil {
		Refuse(w, 400, transport.CodeBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[e.request.Token] {
		Refuse(w, 403, transport.CodeBadToken)
		return
	}
	key, err := attestation.ParseKey(e.request.Class, e.request.AK)
	if err != nil || !bytes.Equal(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo, e.request.TLSKey) {
		Refuse(w, 400, transport.CodeBadRequest)
		return
	}
	e.device = key.Name()
	answer := transport.EnrolChallenge{ID: rand.Text()}
	if e.request.Class == evidence.ClassTPM {
		spki, errTLS := key.CheckTLSKey(*e.request.TLSProof)
		ek, errEK := attestation.ParseEK(e.request.EK)
		if errTLS != nil || errEK != nil || !bytes.Equal(spki, e.request.TLSKey) {
			Refuse(w, 400, transport.CodeBadRequest)
			return
		}
		e.secret = make([]byte, 32)
		must2(rand.Read(e.secret))
		answer.Credential, answer.Encrypted, err = challenge.Make(rand.Reader, ek, e.device, e.secret)
		must(err)
	}
	s.enrolments[answer.ID] = &e
	must(json.NewEncoder(w).Encode(answer))
}

func (s *Server) serveAnswer(w http.ResponseWriter, r *http.Request) {
	var a transport.EnrolAnswer
	err := json.NewDecoder(r.Body).Decode(&a)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.enrolments[r.PathValue("id")]
	if err != nil || e == nil || !bytes.Equal(a.Proof, e.secret) {
		Refuse(w, 403, transport.CodeBadChallenge)
		return
	}
	delete(s.tokens, e.request.Token)
	s.enrolled++
	must(json.NewEncoder(w).Encode(transport.Enrolled{Device: e.device, HomeLog: s.VKey, Certificate: s.issue(r)}))
}

// DeviceCertificate returns what a device shows that was enrolled long ago.
func (s *Server) DeviceCertificate(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return tls.Certificate{Certificate: [][]byte{s.issueFor(key.Public())}, PrivateKey: key}
}

// issue makes a certificate over the key that the client shows. s.mu is held.
func (s *Server) issue(r *http.Request) []byte {
	return s.issueFor(r.TLS.PeerCertificates[0].PublicKey)
}

func (s *Server) issueFor(pub any) []byte {
	s.Issued++
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(100 + s.Issued)), Subject: pkix.Name{CommonName: "device"},
		NotBefore: s.Clock().Add(-time.Minute), NotAfter: s.Clock().Add(s.CertLife), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, s.authority.cert, pub, s.authority.key)
	must(err)
	return der
}

func (s *Server) serveCertificate(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	must(json.NewEncoder(w).Encode(transport.Certificate{Certificate: s.issue(r)}))
}

// admitted refuses a client that shows no certificate of ours, or one whose time is over.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cert := r.TLS.PeerCertificates[0]
	w.Header().Set("Date", s.Clock().UTC().Format(http.TimeFormat))
	if cert.CheckSignatureFrom(s.authority.cert) == nil && s.Clock().Before(cert.NotAfter) {
		return true
	}
	Refuse(w, 403, transport.CodeCertificate)
	return false
}

// ServeCheckpoint answers with the log's checkpoint.
func (s *Server) ServeCheckpoint(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	root, err := s.root()
	must(err)
	cp, err := note.Sign(&note.Note{Text: camlog.Checkpoint{Origin: s.signer.Name(), Size: s.size, Root: root}.Text()}, s.signer)
	must(err)
	must2(w.Write(cp))
}

func must2[T any](_ T, err error) { must(err) }
