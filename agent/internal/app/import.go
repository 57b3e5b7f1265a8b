package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
)

type importCmd struct {
	Paths      []string `arg:"" name:"path" help:"Files and folders."`
	SealedOnly bool     `help:"End when all is sealed here; it is sent when the server can be reached."`
	JSON       bool     `name:"json" help:"One JSON object a line."`
}

// Run imports by a running agent, or as one.
func (c *importCmd) Run(ctx context.Context, set *settings, con *console) error {
	if err := set.check(); err != nil {
		return err
	}
	req := importRequest{Recorder: set.Recorder, SealedOnly: c.SealedOnly}
	for _, p := range c.Paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		req.Paths = append(req.Paths, []byte(abs))
	}
	v := newView(con, c.JSON)
	defer v.close()
	if cl := dial(ctx, set.State); cl != nil {
		return ask(ctx, cl, req, v)
	}
	n, err := start(ctx, set, newLog(v, max(set.LogLevel, slog.LevelError))) // progress says the rest
	if err != nil {
		return err
	}
	sum := runJob(ctx, n, req, v.show)
	if err := n.close(); err != nil {
		return err
	}
	return sum.err()
}

func (s summary) err() error {
	if s.Exit != exitOK {
		return errSilent
	}
	return nil
}

// ask lets the running agent do it, and shows what it says.
func ask(ctx context.Context, cl *client, req importRequest, v *view) error {
	resp, err := cl.request(ctx, "POST", "/import", req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var p progress
		err := lines.Decode(&p)
		switch {
		case ctx.Err() != nil:
			return errors.New("no longer watching; the running agent goes on with the import by itself; see camseal-agent status")
		case err != nil:
			return fmt.Errorf("the running agent ended before the import did (%w); what was read is kept; start it again, and run the same command again", err)
		}
		v.show(p)
		if p.Summary != nil {
			return p.Summary.err()
		}
	}
}
