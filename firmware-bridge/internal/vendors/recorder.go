package vendors

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"
)

// Recorder is a recorder that can be talked to. Its methods are what the trade's libraries have in common, whose names stand beside them; a maker's
// library is put behind this interface. None of it is authentication: recorders take a password of six digits, which is often the one that
// they came with, and believe any serial and officer that are written to them.
//
// One call at a time is under way, others wait. What a recorder answers is a claim, checked for its form; rubbish is a *Rubbish, a refusal a *Refused.
// After any other error than *Refused, the connection is closed and every further call fails with ErrClosed: dial again.
type Recorder interface {
	// Identify asks who it is. (GetIDCode)
	Identify(ctx context.Context) (Identity, error)
	// Officer reads the officer's record. (GetZFYInfo)
	Officer(ctx context.Context) (OfficerRecord, error)
	// SetOfficer writes it, and returns nil only when the recorder, asked again, shows the same bytes. (WriteZFYInfo)
	SetOfficer(ctx context.Context, r OfficerRecord) error
	// Battery returns per cent, 0 to 100. (ReadDeviceBatteryDumpEnergy)
	Battery(ctx context.Context) (int, error)
	// Resolution returns the picture's size such as "1920x1080". (ReadDeviceResolution)
	Resolution(ctx context.Context) (string, error)
	// Clock reads the recorder's clock, which knows no zone: it is taken to show that of the Dialer. To know its offset, read it before
	// SetClock.
	Clock(ctx context.Context) (time.Time, error)
	// SetClock sets it, to the millisecond. (SyncDevTime)
	SetClock(ctx context.Context, t time.Time) error
	// ToStorage makes the recorder show its storage as a disk. It may leave the port while it does so; the connection is closed. (SetMSDC)
	ToStorage(ctx context.Context) error
	// Close gives the connection up. It may be called again.
	Close() error
}

// Identity is what a recorder says that it is.
type Identity struct {
	Serial   string // never empty
	Model    string
	Firmware string
}

// ErrClosed says that the connection was given up, by Close or after an error.
var ErrClosed = errors.New("the connection to the recorder is closed")

// Rubbish says that the recorder did not keep to the protocol.
type Rubbish struct{ What string }

func (e *Rubbish) Error() string {
	return "the recorder's answer makes no sense: " + e.What + "; nothing on it was changed that it has not confirmed; take it out and dock it again"
}

// Refused says that the recorder understood, and would not.
type Refused struct {
	Command Command
	Status  Status
}

func (e *Refused) Error() string {
	return "the recorder refused " + e.Command.String() + ": " + e.Status.String()
}

// Password is what a recorder asks for before it obeys. It is never shown: printing and encoding it give "(secret)".
type Password string

// String implements fmt.Stringer without the password.
func (Password) String() string { return "(secret)" }

// GoString implements fmt.GoStringer without the password.
func (Password) GoString() string { return "(secret)" }

// MarshalText implements encoding.TextMarshaler without the password.
func (Password) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

// MarshalJSON implements json.Marshaler without the password.
func (p Password) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// MarshalYAML implements yaml.Marshaler without the password.
func (p Password) MarshalYAML() (any, error) { return p.String(), nil }

// LogValue implements slog.LogValuer without the password.
func (p Password) LogValue() slog.Value { return slog.StringValue(p.String()) }
