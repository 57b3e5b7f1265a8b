// Package transport is what agent and server say to each other: routes, messages and error codes.
//
// Everything goes over TLS 1.3 with client certificates. The server knows a device by its certificate's
// SubjectPublicKeyInfo, which was enrolled, and demands the certificate that it issued itself, in its time; only the routes
// of enrolment take any certificate over the key that is being enrolled. The agent knows the server by the certificate
// authority in its configuration.
//
//	POST /v1/enrol                                 EnrolRequest with a one-time token; answer EnrolChallenge
//	POST /v1/enrol/{id}                            EnrolAnswer; answer Enrolled. The same again gets the same device
//	POST /v1/certificate                           answer Certificate: a new one over the same key
//	GET  /v1/checkpoint                            the log's newest checkpoint that has the quorum of witnesses, else the
//	                                               newest signed one, as it is: text/plain
//	GET  /v1/head                                  Head: where the server stands with this device
//	POST /v1/statements                            JSON lines: statements in order, each seal right after the statement it
//	                                               covers, the last one sealed. A count record stands after the seal that
//	                                               covers its statement and ahead of the next statement, so that a batch
//	                                               may begin with those of earlier statements (Owed names them); those
//	                                               that the server has already are passed over. Answer Accepted
//	PUT  /v1/recordings/{rec}/chunks/{index}       the chunk's bytes, with Content-Length; idempotent; 204
//	POST /v1/recordings/{rec}/stored               asks for a stored receipt of the chunks so far (while the recording is
//	                                               open: of those from the first one on that are there, if they are more
//	                                               than the newest receipt has); answer Stored, or 409 chunks-missing with
//	                                               Wanted
//	GET  /v1/register                              answer Register, with an ETag; 304 with If-None-Match; 204: there is none
//	POST /v1/known                                 KnownRequest; answer KnownAnswer
//	POST /v1/orders                                Report of a recorder on duty; answer Orders, when there is something new
//	POST /v1/live/whip                             WHIP (RFC 9725): publish live. PATCH and DELETE at the Location it answers
//
// Every refusal is an Error in JSON with a 4xx or 5xx status.
package transport

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// Limits of what the server takes in one request.
const (
	MaxBatch  = 8 << 20  // bytes of POST /v1/statements
	MaxChunk  = 64 << 20 // bytes of one chunk
	MaxAnswer = 4 << 20  // bytes of any answer in JSON
	MaxWanted = 1024     // entries of a wanted list; ask again for more
)

// Head says where the server stands with a device. Seq is null before the first batch.
type Head struct {
	Seq  *uint64         `json:"seq"`
	Head evidence.Digest `json:"head"`
	N    *uint64         `json:"n"` // running number of the next statement of the device itself; null: not known

	// Owed are the statements whose count records the server still waits for, by their seq, in order. The records begin the
	// next batch.
	Owed []uint64 `json:"owed"`

	// Seen is the receipt of Head at Seq: a device that finds itself behind or on another branch believes no head without it.
	Seen *Receipt `json:"seen,omitempty"`
}

// Wanted says that a chunk is missing and how to send it.
type Wanted struct {
	Rec     evidence.RecordingID `json:"rec"`
	Index   uint64               `json:"index"`
	Method  string               `json:"method"`            // PUT
	URL     string               `json:"url"`               // absolute, or relative to the server's own address
	Headers map[string]string    `json:"headers,omitempty"` // to be sent as they are
}

// Accepted answers a batch of statements: they are logged.
type Accepted struct {
	Seq    uint64          `json:"seq"` // of the last statement accepted
	Head   evidence.Digest `json:"head"`
	Seen   Receipt         `json:"seen"`
	Wanted []Wanted        `json:"wanted"`

	// Owed is as in Head, after this batch. A batch that was known already, sent again with a count record more, is
	// answered as before: the record is not taken in then, and stands in Owed.
	Owed []uint64 `json:"owed"`
}

// Stored answers a request for a stored receipt.
type Stored struct {
	Receipt Receipt `json:"receipt"`
}

// Receipt is a log leaf's bytes and its proof (C2SP tlog-proof), for transport; encoding/json writes both as base64.
type Receipt struct {
	Leaf  []byte `json:"leaf"`
	Proof []byte `json:"proof"`
}

// Tlog returns the receipt in the form that pkg/tlog verifies.
func (r Receipt) Tlog() tlog.Receipt { return tlog.Receipt{Leaf: r.Leaf, Proof: r.Proof} }

// Code is a machine-readable reason for a refusal.
type Code string

// The codes. Final ones are not worth trying again with the same bytes.
const (
	CodeUnknownDevice Code = "unknown-device"      // 403: this client key is not enrolled
	CodeRevoked       Code = "revoked"             // 403: this device is revoked
	CodeCertificate   Code = "certificate-expired" // 403: the device's certificate is over, or not this server's
	CodeBadToken      Code = "bad-token"           // 403: no enrolment token, used, over its time, or for another kind of device
	CodeBadChallenge  Code = "bad-challenge"       // 403: no such enrolment is under way, or the proof is wrong
	CodeUnknownMaker  Code = "unknown-maker"       // 403: no known maker vouches for the device's TPM
	CodeBadRequest    Code = "bad-request"         // 400: not in the form of this package
	CodeBadStatement  Code = "bad-statement"       // 422: a line is not canonical, or says what it must not
	CodeChainBroken   Code = "chain-broken"        // 422: the chain does not go on from the server's head
	CodeSealBroken    Code = "seal-broken"         // 422: a seal's signature, head or PCR does not hold
	CodeFork          Code = "fork"                // 409: another statement is known under a number sent
	CodeBehind        Code = "behind"              // 409: statements between the server's head and the batch are missing
	CodeWrongBytes    Code = "wrong-bytes"         // 422: a chunk's bytes are not those that were sealed
	CodeUnknownChunk  Code = "unknown-chunk"       // 404: no sealed statement speaks of this chunk yet
	CodeUnknownRec    Code = "unknown-recording"   // 404: no sealed statement speaks of this recording yet
	CodeMissing       Code = "chunks-missing"      // 409: see Wanted
	CodeTooLarge      Code = "too-large"           // 413
	CodeVaultFull     Code = "vault-full"          // 507: nothing was lost; try again when there is room
	CodeUnavailable   Code = "unavailable"         // 503: try again
	CodeInternal      Code = "internal"            // 500: try again; the server's log says more
)

// Error is a refusal.
type Error struct {
	Status  int      `json:"status"`
	Code    Code     `json:"code"`
	Message string   `json:"message"` // what happened
	Kept    string   `json:"kept"`    // what was kept safe
	Do      string   `json:"do"`      // what to do
	Seq     *uint64  `json:"seq,omitempty"`
	Wanted  []Wanted `json:"wanted,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Code, e.Status, e.Message) }

// Final reports whether the same request must not be sent again as it is.
func (e *Error) Final() bool {
	switch e.Code {
	case CodeUnknownDevice, CodeRevoked, CodeCertificate, CodeBadToken, CodeBadChallenge, CodeUnknownMaker, CodeBadRequest,
		CodeBadStatement, CodeChainBroken, CodeSealBroken, CodeFork, CodeWrongBytes, CodeTooLarge:
		return true
	}
	return false
}

// ReadError reads a refusal from an answer; an answer that is no Error (a proxy's page) becomes CodeUnavailable or CodeInternal.
func ReadError(resp *http.Response) *Error {
	var e Error
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer))
	if err == nil && json.Unmarshal(body, &e) == nil && e.Code != "" {
		e.Status = resp.StatusCode
		return &e
	}
	code := CodeInternal
	if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusBadGateway || resp.StatusCode == http.StatusGatewayTimeout {
		code = CodeUnavailable
	}
	return &Error{Status: resp.StatusCode, Code: code, Message: "the server answered " + resp.Status,
		Kept: "everything is kept by the agent", Do: "the agent tries again by itself"}
}
