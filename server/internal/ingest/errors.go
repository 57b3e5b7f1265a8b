package ingest

import (
	"context"
	"errors"
	"fmt"

	"camseal/pkg/evidence"
	"camseal/pkg/transport"
	"camseal/pkg/verify"
	"camseal/server/internal/archive"
	"camseal/server/internal/catalog"
)

// refusal makes an answer for a request that did wrong.
func refusal(status int, code transport.Code, message string) *transport.Error {
	return &transport.Error{Status: status, Code: code, Message: message,
		Kept: "nothing of this request was archived; what was accepted before is kept", Do: "see the device's log; the same request will be refused again"}
}

// AsRefusal says what any error of this package means to a device. Errors that are the server's own trouble become
// answers that ask to try again, and known is false for those that an administrator should look at.
func AsRefusal(err error) (e *transport.Error, known bool) {
	var wrong *archive.WrongBytes
	switch {
	case errors.As(err, &e):
		return e, true
	case errors.As(err, &wrong):
		e := refusal(422, transport.CodeWrongBytes, fmt.Sprintf("the bytes are not those that were sealed: SHA-256 is %s, sealed is %s", wrong.Got, wrong.Want))
		e.Kept = "the bytes were not kept; all other chunks are"
		return e, true
	case errors.Is(err, archive.ErrFull):
		return &transport.Error{Status: 507, Code: transport.CodeVaultFull, Message: "the vault is full",
			Kept: "everything that was confirmed is kept", Do: "the agent keeps its copy and tries again; make room in the vault"}, true
	case errors.Is(err, archive.ErrUnavailable), errors.Is(err, catalog.ErrNotApplied), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &transport.Error{Status: 503, Code: transport.CodeUnavailable, Message: "the server's vault or log is not ready",
			Kept: "everything that was confirmed is kept", Do: "try again"}, true
	}
	return &transport.Error{Status: 500, Code: transport.CodeInternal, Message: "the server could not finish the request",
		Kept: "everything that was confirmed is kept", Do: "try again; the server's log says more"}, false
}

// broken turns what a check of statements found into a refusal. Other errors are left as they are.
func broken(err error) error {
	var chain *verify.ChainBreak
	var seal *verify.SealBreak
	var rule *verify.RecordingBreak
	var syntax *evidence.SyntaxError
	var e *transport.Error
	switch {
	case errors.As(err, &chain):
		code := transport.CodeChainBroken
		if chain.Reason == verify.ChainSyntax {
			code = transport.CodeBadStatement
		}
		e = refusal(422, code, err.Error())
		e.Seq = &chain.Seq
	case errors.As(err, &seal):
		e = refusal(422, transport.CodeSealBroken, err.Error())
		e.Seq = &seal.Upto
	case errors.As(err, &rule):
		e = refusal(422, transport.CodeBadStatement, err.Error())
		e.Seq = &rule.Seq
	case errors.As(err, &syntax):
		e = refusal(422, transport.CodeBadStatement, err.Error())
	default:
		return err
	}
	return e
}

// forkError is a refusal with the digests of both statements.
type forkError struct {
	refusal     *transport.Error
	known, sent evidence.Digest
}

func (f *forkError) Error() string { return f.refusal.Error() }

func (f *forkError) Unwrap() error { return f.refusal }

// refuse puts what a device did wrong into quarantine and returns the refusal. Other errors pass through.
func (s *Service) refuse(ctx context.Context, id evidence.DeviceID, body []byte, err error) error {
	var e *transport.Error
	if err = broken(err); !errors.As(err, &e) {
		return err
	}
	if e.Code == transport.CodeBehind {
		return e
	}
	f := Finding{Code: e.Code, Message: e.Message, Seq: e.Seq}
	var fork *forkError
	if errors.As(err, &fork) {
		f.Known, f.Sent = &fork.known, &fork.sent
	}
	s.Quarantine.Keep(ctx, id, f, body)
	return e
}
