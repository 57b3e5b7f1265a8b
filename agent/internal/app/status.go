package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/duty"
	"camseal/agent/internal/spool"
	"camseal/agent/internal/uplink"
	"camseal/pkg/evidence"
)

type statusCmd struct {
	JSON  bool `name:"json" help:"As one JSON object."`
	Watch bool `help:"Show the dock as its page does, again whenever it changes, until interrupted."`
}

// agentStatus is what status prints and GET /status answers.
type agentStatus struct {
	Version string            `json:"version"`
	Running bool              `json:"running"` // an agent holds the spool
	Class   evidence.Class    `json:"class"`
	Device  evidence.DeviceID `json:"device"`
	HomeLog string            `json:"home_log"`
	Server  string            `json:"server"`

	Recovery bool           `json:"recovery"` // the spool's key is wrapped to an offline recovery key too
	Spool    spool.Status   `json:"spool"`
	Seal     sealStatus     `json:"seal"`
	Uplink   uplink.Status  `json:"uplink"`
	Alarms   []uplink.Alarm `json:"alarms"`
	Dock     *dock.Snapshot `json:"dock,omitempty"`     // of a docking station
	Recorder *duty.State    `json:"recorder,omitempty"` // of an agent with a camera
}

type sealStatus struct {
	Unsealed uint64  `json:"unsealed"`    // statements
	Age      float64 `json:"age_seconds"` // of the oldest of them
	Seals    uint64  `json:"seals"`       // since the start
}

// alarms are all that a person should know now.
func (n *node) alarms(ctx context.Context) []uplink.Alarm {
	out := n.agentAlarms(ctx)
	if r := n.captures(); r != nil {
		out = append(out, r.alarms()...)
	}
	return out
}

// captures returns the recorder; nil: this agent captures nothing.
func (n *node) captures() *capturer {
	n.recorderMu.Lock()
	defer n.recorderMu.Unlock()
	return n.recorder
}

// agentAlarms are those of the agent besides its camera.
func (n *node) agentAlarms(ctx context.Context) []uplink.Alarm {
	out := n.uplink.Status().Alarms
	st := n.currentSealer().Status(ctx)
	if st.Alarm {
		what := fmt.Sprintf("%d statements have been unsealed for %s", st.Unsealed, st.Age.Round(time.Second))
		switch {
		case st.Err != nil:
			what = "sealing stands still: " + st.Err.Error()
		case st.Counter:
			what = "the TPM's counter stands at a value that this device's chain does not account for"
		case st.Order:
			what = "the TPM's chain PCR held a value that this device's chain does not explain"
		}
		out = append(out, uplink.Alarm{Key: "seal", Since: now().Add(-st.Age), What: what,
			Kept: "everything is kept, and sealed as soon as the TPM answers", Do: "look at the TPM; restart the machine if it lasts"})
	}
	if since := n.taker.Full(); !since.IsZero() {
		out = append(out, uplink.Alarm{Key: "full", Since: since, What: "intake stands still: the spool or its disk is full",
			Kept: "everything taken in is kept, and the recorders keep the rest", Do: "bring back the way to the server, or make room on the disk"})
	}
	if s, err := n.spool.Status(); err == nil && s.Broken != "" {
		out = append(out, uplink.Alarm{Key: "spool", Since: now(), What: s.Broken, Kept: "everything acknowledged", Do: "look at the disk, then start the agent again"})
	}
	return out
}

func (n *node) status(ctx context.Context) agentStatus {
	st := agentStatus{Version: software(), Running: true, Server: n.set.Server, Class: n.tpm.Key().Class(), Device: n.tpm.Key().Name(),
		Uplink: n.uplink.Status(), Alarms: n.alarms(ctx)}
	st.Spool, _ = n.spool.Status()
	sl := n.currentSealer().Status(ctx)
	st.Seal = sealStatus{Unsealed: sl.Unsealed, Age: sl.Age.Seconds(), Seals: sl.Seals}
	if e, err := enrolment(n.spool); err == nil {
		st.HomeLog = e.HomeLog
	}
	st.Recovery = n.set.wrapped()
	if n.dock != nil {
		snap := n.dock.Snapshot(ctx)
		st.Dock = &snap
	}
	if r := n.captures(); r != nil {
		state := r.duty.State(ctx)
		st.Recorder = &state
	}
	return st
}

// Run asks the running agent, or looks into the spool.
func (c *statusCmd) Run(ctx context.Context, set *settings, con *console) error {
	if c.Watch {
		return watchDock(ctx, set, con)
	}
	st, err := readStatus(ctx, set)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(con.out).Encode(st)
	}
	st.print(con.out)
	return nil
}

func readStatus(ctx context.Context, set *settings) (st agentStatus, err error) {
	if cl := dial(ctx, set.State); cl != nil {
		return askStatus(ctx, cl)
	}
	if _, err := os.Stat(set.path("spool")); err != nil {
		return st, fmt.Errorf("%w in %s; run camseal-agent enrol first, or give the right --state", spool.ErrNotEnrolled, set.State)
	}
	path, err := set.tpm()
	if err != nil {
		return st, err
	}
	sp, _, err := openSpool(ctx, set, newLog(io.Discard, set.LogLevel), func() ([]byte, error) {
		tpm, err := openTPM(ctx, set, path)
		if err != nil {
			return nil, err
		}
		key, err := spoolKey(ctx, set, tpm)
		return key, errors.Join(err, tpm.Close())
	})
	if errors.Is(err, spool.ErrInUse) {
		if cl := dial(ctx, set.State); cl != nil { // an agent that was just starting
			return askStatus(ctx, cl)
		}
	}
	if err != nil {
		return st, err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	e, err := enrolment(sp)
	if err != nil {
		return st, err
	}
	st = agentStatus{Version: software(), Server: set.Server, Class: e.Class, HomeLog: e.HomeLog}
	if st.Spool, err = sp.Status(); err != nil {
		return st, err
	}
	st.Device, st.Recovery = st.Spool.Device, set.wrapped()
	st.Seal.Unsealed = st.Spool.Statements - st.Spool.Sealed
	return st, nil
}

func askStatus(ctx context.Context, cl *client) (st agentStatus, err error) {
	resp, err := cl.request(ctx, "GET", "/status", nil)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	return st, json.NewDecoder(resp.Body).Decode(&st)
}

// atRest says what a stolen disk would give.
func (st agentStatus) atRest() string {
	switch {
	case !st.Spool.Encrypted:
		return "NOT encrypted: keys in files can't protect the spool"
	case st.Recovery:
		return "encrypted; its key is sealed to the TPM, and wrapped to an offline recovery key"
	}
	return "encrypted; its key is sealed to the TPM alone: if that dies, what is held here is lost"
}

func (st agentStatus) print(w io.Writer) {
	state := "not running"
	if st.Running {
		state = "running"
	}
	class := string(st.Class)
	if st.Class == evidence.ClassSoftware {
		class = "software: NO TPM, for trials; recordings are graded software-sealed"
	}
	fmt.Fprintf(w, "agent       %s, %s\ndevice      %s\nsealed by   %s\nserver      %s\n", st.Version, state, st.Device, class, st.Server)
	fmt.Fprintf(w, "recordings  %d, %d of them wholly stored\n", st.Spool.Recordings, st.Spool.Stored)
	fmt.Fprintf(w, "held        %s, room for %s more\n", bytesText(uint64(st.Spool.Held)), bytesText(uint64(st.Spool.Free)))
	fmt.Fprintf(w, "at rest     %s\n", st.atRest())
	fmt.Fprintf(w, "statements  %d, %d unsealed", st.Spool.Statements, st.Seal.Unsealed)
	if st.Seal.Unsealed > 0 && st.Running {
		fmt.Fprintf(w, " for %.1f s", st.Seal.Age)
	}
	if st.Running && st.Uplink.Synced {
		fmt.Fprintf(w, ", %d at the server", st.Uplink.Sent)
	}
	fmt.Fprintln(w)
	if st.Running {
		last := "none since the start"
		if !st.Uplink.LastReceipt.IsZero() {
			last = st.Uplink.LastReceipt.Local().Format("2006-01-02 15:04:05 -07:00")
		}
		fmt.Fprintf(w, "receipt     %s\n", last)
	}
	if st.Recorder != nil {
		printRecorder(w, *st.Recorder)
	}
	if st.Spool.Forks > 0 {
		fmt.Fprintf(w, "forks       the chain went on elsewhere %d times: the state folder was copied, or an old copy put back\n", st.Spool.Forks)
	}
	for _, name := range st.Spool.Quarantine {
		fmt.Fprintf(w, "quarantine  %s\n", name)
	}
	for _, a := range st.Alarms {
		fmt.Fprintf(w, "ALARM       since %s: %s\n", a.Since.Local().Format("2006-01-02 15:04:05"), a)
	}
	if len(st.Alarms) == 0 && st.Running {
		fmt.Fprintln(w, "alarms      none")
	}
}
