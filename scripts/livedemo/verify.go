package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"

	"camseal/pkg/evidence"
)

func (d *demo) run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, d.path("bin/"+name), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}

// stored waits until the server says that all of the recording is stored.
func (d *demo) stored(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	look := time.NewTicker(300 * time.Millisecond)
	defer look.Stop()
	for {
		out, err := d.run(ctx, "camseal-server", "recordings", "--json", "--state", d.path("server"), "--ek-roots-trial", d.path("makers"))
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(bytes.NewReader([]byte(out))); lines.Scan(); {
			var r struct {
				Rec, State string
				Size       uint64
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				return err
			}
			if r.Rec == d.rec && r.State == "stored" {
				d.say("stored: all of its %d bytes, locked", r.Size)
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("recording %s is not stored: %s", d.rec, out)
		case <-look.C:
		}
	}
}

// verify exports the bundle, verifies it as a stranger would, and looks for holes in the footage.
func (d *demo) verify(ctx context.Context) error {
	d.next("Exporting the bundle, and verifying it as a stranger would: no network, no TPM, no server")
	d.bundle = d.path("bundle-" + d.rec + ".zip")
	server := []string{"--state", d.path("server"), "--ek-roots-trial", d.path("makers")}
	for _, args := range [][]string{append([]string{"trust-export"}, append(server, d.path("trust"))...), append([]string{"export"}, append(server, d.rec, "-o", d.bundle)...)} {
		if _, err := d.run(ctx, "camseal-server", args...); err != nil {
			return err
		}
	}
	out, err := d.run(ctx, "camseal-verify", "--trust", d.path("trust"), d.bundle)
	if err != nil {
		return err
	}
	fmt.Print(out)
	return d.holes()
}

// holes checks that each segment begins where the one before ended, and tells how long what was sealed waited for its way.
func (d *demo) holes() (err error) {
	bundle, err := zip.OpenReader(d.bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bundle.Close()) }()
	text, err := fs.ReadFile(bundle, "data/chain.jsonl")
	if err != nil {
		return err
	}
	var end, segments uint64
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		s, _, err := evidence.ParseUnverified(lines.Bytes())
		if err != nil {
			continue // withheld
		}
		c, ok := s.Body.(*evidence.Chunk)
		if !ok || s.Rec.String() != d.rec || c.Index == 0 {
			continue
		}
		if c.Start != end {
			return fmt.Errorf("segment %d begins at %d ms, the one before ended at %d ms", c.Index, c.Start, end)
		}
		end, segments = c.Start+c.Duration, segments+1
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if segments == 0 {
		return errors.New("the bundle's chain tells of no segment")
	}
	d.say("%d segments, %.1f s of footage, each beginning where the one before ended: the network's cut left no hole", segments, float64(end)/1000)
	return nil
}
