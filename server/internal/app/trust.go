package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"camseal/pkg/verify"
	"camseal/server/internal/export"
)

type trustExportCommand struct {
	Dir string `arg:"" help:"Folder to make."`
}

// Run writes what verifiers need to know from this server: keys of log, clock and witnesses, roots, reference values. Whoever verifies
// should get it from somebody else than a bundle's sender.
func (c trustExportCommand) Run(e *env) error {
	s := e.settings
	log, err := os.ReadFile(s.path(fileLogVKey))
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("%s is no state folder of a server; run `camseal-server init` first", s.State)
	}
	if err != nil {
		return err
	}
	trust, err := s.trust(strings.TrimSpace(string(log)))
	if err != nil {
		return err
	}
	t := export.TrustFolder{Log: trust.Logs[0].Key, Clock: trust.Logs[0].Clock, Witnesses: trust.Witnesses, Quorum: trust.Quorum,
		EKRoots: s.EKRoots, TrialRoots: s.EKRootsTrial, TSARoots: s.TSARoots}
	err = withAdmin(e, func(a admin) error {
		sets, err := a.pcrs(e.ctx)
		for _, set := range sets {
			t.PCRs = append(t.PCRs, export.PCRSet{Name: set.Model, PCRs: set.PCRs})
		}
		return err
	})
	if err == nil {
		err = t.Write(c.Dir)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, c.Dir)
	return err
}

// trust is whose word this server gives to verifiers: its log, its clock and its witnesses.
func (s *settings) trust(vkey string) (*verify.Trust, error) {
	_, clock, err := ensureClockKey(s)
	if err != nil {
		return nil, err
	}
	witnesses, err := s.witnesses()
	if err != nil {
		return nil, err
	}
	t := &verify.Trust{V: 1, Logs: []verify.TrustedLog{{Key: vkey, Clock: clock}}, Quorum: s.Quorum}
	for _, w := range witnesses {
		t.Witnesses = append(t.Witnesses, w.Key)
	}
	if t.Quorum == 0 && len(witnesses) > 0 {
		t.Quorum = 1
	}
	return t, nil
}
