package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"camseal/pkg/transport"
)

// Alarm is something that a person should know: what happened, what is kept, what to do.
type Alarm struct {
	Key   string    `json:"key"`
	Since time.Time `json:"since"`
	What  string    `json:"what"`
	Kept  string    `json:"kept"`
	Do    string    `json:"do"`
}

func (a Alarm) String() string { return a.What + "; " + a.Kept + "; " + a.Do }

// alarms holds those that stand, by key.
type alarms struct {
	mu  sync.Mutex
	now func() time.Time
	log *slog.Logger
	all map[string]Alarm
}

// raise notes an alarm, and logs it when it is new or says something else.
func (a *alarms) raise(ctx context.Context, al Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.all[al.Key]
	if al.Since = a.now(); ok {
		al.Since = old.Since
	}
	if a.all == nil {
		a.all = map[string]Alarm{}
	}
	a.all[al.Key] = al
	if !ok || old.What != al.What {
		a.log.WarnContext(ctx, al.What, slog.String("kept", al.Kept), slog.String("do", al.Do))
	}
}

func (a *alarms) clear(ctx context.Context, key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old, ok := a.all[key]; ok {
		delete(a.all, key)
		a.log.InfoContext(ctx, "over: "+old.What)
	}
}

func (a *alarms) list() []Alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Collect(maps.Values(a.all))
	slices.SortFunc(out, func(x, y Alarm) int { return strings.Compare(x.Key, y.Key) })
	return out
}

const (
	allKept = "everything is kept here, and goes on being taken in and sealed"
	byItsel = "the agent tries again by itself"
)

// Explain turns an error of the server or the way to it into words.
func Explain(server string, err error) Alarm {
	al, _ := explain("", server, err)
	return al
}

// explain turns an error of the server or the way to it into words. final says that trying again soon is of no use.
func explain(key, server string, err error) (al Alarm, final bool) {
	al = Alarm{Key: key, Kept: allKept, Do: byItsel}
	var refusal *transport.Error
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var alert tls.AlertError
	var op *net.OpError
	var bad *badReceipt
	switch {
	case errors.As(err, &bad):
		al.What = bad.Error()
		al.Do = "this server is not the one that this device enrolled with, or it does not keep its word; look at the server and its log key"
		return al, true
	case errors.As(err, &refusal):
		al.What = fmt.Sprintf("the server refuses: %s (%s)", refusal.Message, refusal.Code)
		if refusal.Do != "" {
			al.Do = refusal.Do
		}
		return al, refusal.Final()
	case errors.As(err, &unknown):
		al.What = "what answers at " + server + " is not our server: its certificate is not from the configured authority"
		al.Do = "check the server's address and the agent's ca file"
		return al, true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		al.What = "the certificate of " + server + " is not valid now: " + invalid.Detail
		al.Do = "look at this machine's clock; if it is right, the server needs a new certificate"
		return al, true
	case errors.As(err, &invalid), errors.As(err, &host):
		al.What = "the certificate of " + server + " does not fit: " + err.Error()
		al.Do = "check the server's address and certificate"
		return al, true
	case errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error":
		al.What = server + " does not accept this device's certificate: " + err.Error()
		al.Do = "enrol this device with a new token (camseal-agent enrol)"
		return al, true
	}
	al.What = "the server can't be reached: " + err.Error()
	return al, false
}
