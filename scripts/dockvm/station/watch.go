package station

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Tile is a slot as the agent's status shows it.
type Tile struct {
	Slot     string `json:"slot"`
	State    string `json:"state"`
	Recorder string `json:"recorder"`
	Files    int    `json:"files"`
	Done     int    `json:"done"`
	Bytes    uint64 `json:"bytes"`
	Read     uint64 `json:"read"`
	Stored   int    `json:"stored"`
	Released int    `json:"released"`
	Headers  int    `json:"headers"`
	Kept     int    `json:"kept"`
	Fault    string `json:"fault"`
}

// Snapshot is the dock as the agent's status shows it.
type Snapshot struct {
	Tiles   []Tile `json:"tiles"`
	Headers int    `json:"headers"`
}

// Snapshot asks the agent.
func (s *Station) Snapshot(ctx context.Context) (Snapshot, error) {
	out, err := s.VM.Run(ctx, s.agentCommand("status", "--json")...)
	if err != nil {
		return Snapshot{}, err
	}
	var st struct {
		Dock *Snapshot `json:"dock"`
	}
	if err := json.Unmarshal(out, &st); err != nil {
		return Snapshot{}, err
	}
	if st.Dock == nil {
		return Snapshot{}, errors.New("the agent does not run as a dock")
	}
	return *st.Dock, nil
}

// UntilTile waits until a slot is as wanted, and returns it.
func (s *Station) UntilTile(ctx context.Context, slot, what string, holds func(Tile) bool) (t Tile, err error) {
	err = s.Until(ctx, "slot "+slot+": "+what, func() (bool, error) {
		snap, err := s.Snapshot(ctx)
		if err != nil {
			return false, err
		}
		t = Tile{}
		for _, tile := range snap.Tiles {
			if tile.Slot == slot {
				t = tile
			}
		}
		return holds(t), nil
	})
	if err != nil {
		err = fmt.Errorf("%w; it is %+v", err, t)
	}
	return t, err
}

// Recording is what the catalog says of one.
type Recording struct {
	Rec      string `json:"rec"`
	Name     string `json:"name"`
	Serial   string `json:"serial"`
	State    string `json:"state"`
	Original string `json:"original"`
	Released bool   `json:"released"`
}

// Recordings asks the server.
func (s *Station) Recordings(ctx context.Context) (list []Recording, err error) {
	out, err := s.RunServer(ctx, "recordings", "--json")
	for line := range strings.Lines(out) {
		var r Recording
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, err
}

// Verify exports a recording to a file and runs the verifier on it, with the server's keys as trust. It returns what the verifier said.
func (s *Station) Verify(ctx context.Context, rec string) (bundle, said string, err error) {
	trust := s.path("trust")
	if _, err := os.Stat(trust); err != nil {
		if _, err := s.RunServer(ctx, "trust-export", trust); err != nil {
			return "", "", err
		}
	}
	bundle = s.path("bundle-" + rec + ".zip")
	if err := os.Remove(bundle); err != nil && !errors.Is(err, os.ErrNotExist) {
		return bundle, "", err
	}
	if _, err := s.RunServer(ctx, "export", rec, "-o", bundle); err != nil {
		return bundle, "", err
	}
	said, err = output(ctx, s.program("camseal-verify"), "--trust", trust, bundle)
	return bundle, said, err
}
