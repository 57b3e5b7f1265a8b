package app

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"camseal/firmware-bridge/internal/permit"
	"camseal/firmware-bridge/internal/storage"
	"camseal/firmware-bridge/internal/vendors"
	"camseal/pkg/evidence"
	"camseal/pkg/tlog"
)

// settings are the keys of bridge.yaml; each is a flag of the same name.
type settings struct {
	Socket    string            `help:"Socket that the agent talks to." default:"/run/camseal/bridge.sock" placeholder:"PATH"`
	Mounts    string            `help:"Folder for mounts, which the bridge has for itself." default:"/run/camseal/mounts" placeholder:"DIR"`
	State     string            `help:"Folder for the journal of erasures." default:"/var/lib/camseal-bridge" placeholder:"DIR"`
	AgentUser string            `help:"User that the agent runs as: name or number." default:"camseal" placeholder:"USER"`
	Slots     map[string]string `help:"Which port is which slot; ports of one slot with commas between. A USB port that is not named is a slot of its own; what hangs on no USB port is taken only if it is named." placeholder:"SLOT=PORT"`
	Rescan    time.Duration     `help:"How often it looks at the ports even if the kernel said nothing." default:"2s"`
	Profiles  string            `help:"Folder with further vendor profiles (*.yaml)." placeholder:"DIR"`

	Controls        map[string]string `help:"Where the recorder in a slot can be talked to: a terminal, or unix:PATH. A terminal on a slot's own USB port need not be named." placeholder:"SLOT=ADDRESS"`
	ControlPassword vendors.Password  `help:"Password that recorders ask for." placeholder:"DIGITS"`
	SetClock        bool              `help:"Set recorders' clocks, after noting how far they are off."`

	Erase         bool            `help:"Erase recordings from recorders on permits."`
	LogKey        string          `help:"File with the verifier key of the server's log (log.vkey): only its receipts count. Needed with erase." placeholder:"FILE"`
	WitnessKeys   []string        `sep:"none" help:"Verifier keys of the log's witnesses." placeholder:"VKEY"`
	WitnessQuorum int             `help:"How many of them must have signed a permit's receipt."`
	EraseDays     int             `help:"For how many days from now at least the vault must keep what is erased." default:"30"`
	Lock          []evidence.Lock `help:"Locks of the server's vault that permits may name." default:"compliance,folder"`

	LogLevel slog.Level `help:"debug, info, warn or error." default:"info"`
}

func (s *settings) check() error {
	switch {
	case s.Rescan <= 0:
		return usagef("rescan is a time such as 2s")
	case s.EraseDays < 0 || s.EraseDays > 36500:
		return usagef("erase-days: %d is not between 0 and 36500", s.EraseDays)
	case s.WitnessQuorum < 0 || s.WitnessQuorum > len(s.WitnessKeys):
		return usagef("witness-quorum: %d of %d witnesses can't be had", s.WitnessQuorum, len(s.WitnessKeys))
	case s.Erase && s.LogKey == "":
		return usagef("erase: without log-key no permit can be checked, so nothing was started; give the file log.vkey of the server, or switch erase off")
	case !filepath.IsAbs(s.Mounts) || !filepath.IsAbs(s.Socket):
		return usagef("mounts and socket are absolute paths")
	}
	ports := map[string]string{}
	for slot, all := range s.Slots {
		for port := range strings.SplitSeq(all, ",") {
			if slot == "" || port == "" || ports[port] != "" {
				return usagef("slots: slot %q and slot %q are both the port %q, or one has no name", slot, ports[port], port)
			}
			ports[port] = slot
		}
	}
	for slot := range s.Controls {
		if s.Slots[slot] == "" {
			return usagef("controls: there is no slot %q", slot)
		}
	}
	for _, l := range s.Lock {
		if l != evidence.LockCompliance && l != evidence.LockFolder {
			return usagef("lock: %q is neither compliance nor folder", l)
		}
	}
	return nil
}

// checker returns what permits are checked against; nil if nothing is erased.
func (s *settings) checker() (*permit.Checker, error) {
	if !s.Erase {
		return nil, nil
	}
	raw, err := os.ReadFile(s.LogKey)
	if err != nil {
		return nil, usagef("log-key: %v", err)
	}
	c := &permit.Checker{Quorum: s.WitnessQuorum, Ahead: time.Duration(s.EraseDays) * 24 * time.Hour, Locks: s.Lock, Now: now}
	if c.Log, err = tlog.NewVerifier(strings.TrimSuffix(string(raw), "\n")); err != nil {
		return nil, usagef("log-key %s: %v", s.LogKey, err)
	}
	seen := map[string]bool{}
	for _, k := range s.WitnessKeys {
		w, err := tlog.NewCosigner(k)
		if err != nil {
			return nil, usagef("witness-keys: %v", err)
		}
		if seen[w.VKey()] {
			return nil, usagef("witness-keys: %s stands twice", w.Name())
		}
		seen[w.VKey()] = true
		c.Witnesses = append(c.Witnesses, w)
	}
	return c, nil
}

// agent returns who may talk to the bridge and read what it mounts.
func (s *settings) agent() (storage.Reader, error) {
	u, err := user.Lookup(s.AgentUser)
	if _, notNumber := strconv.ParseUint(s.AgentUser, 10, 31); err != nil && notNumber == nil {
		u, err = user.LookupId(s.AgentUser)
		if err != nil { // a number needs no name
			u, err = &user.User{Uid: s.AgentUser, Gid: s.AgentUser}, nil
		}
	}
	if err != nil {
		return storage.Reader{}, usagef("agent-user: there is no user %q, so nothing was started; make one, or name the user that the agent runs as", s.AgentUser)
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	return storage.Reader{UID: uid, GID: gid}, errors.Join(errU, errG)
}

// folders makes the folders that there must be. Into the mounts only root and the agent can get.
func (s *settings) folders(r storage.Reader) error {
	err := errors.Join(os.MkdirAll(s.State, 0o700), os.MkdirAll(filepath.Dir(s.Socket), 0o755), os.MkdirAll(s.Mounts, 0o750))
	if err != nil {
		return err
	}
	st, err := os.Lstat(s.Mounts)
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeType != fs.ModeDir {
		return usagef("mounts: %s is no folder", s.Mounts)
	}
	return errors.Join(os.Chown(s.Mounts, 0, r.GID), os.Chmod(s.Mounts, 0o750))
}
