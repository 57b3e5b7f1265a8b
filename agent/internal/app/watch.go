package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"camseal/agent/internal/kiosk"
)

const watchEvery = time.Second

// watchDock shows the dock in the terminal, in words, until ctx ends.
func watchDock(ctx context.Context, set *settings, con *console) error {
	shown := ""
	clearing := terminal(con.out)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		cl := dial(ctx, set.State)
		if cl == nil {
			return fmt.Errorf("no agent runs on %s; start it with camseal-agent run", set.State)
		}
		st, err := askStatus(ctx, cl)
		cl.CloseIdleConnections()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case st.Dock == nil:
			return errors.New("this agent is no dock: its configuration names no bridges")
		}
		var now strings.Builder
		if err := kiosk.Terminal(&now, *st.Dock, language(set)); err != nil {
			return err
		}
		if text := now.String(); text != shown {
			shown = text
			if clearing {
				text = "\x1b[H\x1b[2J" + text
			} else {
				text += "\n"
			}
			if _, err := fmt.Fprint(con.out, text); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// language is the terminal's, else the dock's.
func language(set *settings) string {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		switch v := os.Getenv(name); {
		case strings.HasPrefix(v, "zh"):
			return "zh-CN"
		case strings.HasPrefix(v, "en"):
			return "en"
		}
	}
	return set.Lang
}
