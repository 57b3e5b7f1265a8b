package app

import (
	"cmp"
	"context"
	"os"
	"time"

	"camseal/agent/internal/dock"
)

// newDock makes the docking station, if there is a bridge to follow.
func (n *node) newDock() error {
	if len(n.set.Bridges) == 0 {
		return nil
	}
	log, err := homeLog(n.spool)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	n.dock, err = dock.New(dock.Config{Station: cmp.Or(n.set.Station, host), Bridges: n.set.Bridges, Slots: n.set.Slots, Spool: n.spool, Taker: n.taker,
		Server: n.client, Log: log, Health: n.health, Online: n.uplink.Online, SequenceGap: n.set.SequenceGap, HeaderDeadline: n.set.HeaderDeadline,
		ExportDeadline: n.set.ExportDeadline, ReadAtOnce: n.set.Readers, Except: n.own(), Now: now, Logger: n.log})
	return err
}

// health is what the dock shows of the agent.
func (n *node) health(ctx context.Context) dock.Health {
	h := dock.Health{Online: n.uplink.Online(), Class: string(n.tpm.Key().Class())}
	if st := n.currentSealer().Status(ctx); st.Err != nil {
		h.TPM = st.Err.Error()
	} else if st.Alarm {
		h.TPM = "it is slow: nothing was sealed for " + st.Age.Round(time.Second).String()
	}
	for _, a := range n.alarms(ctx) {
		h.Alarms = append(h.Alarms, a.String())
	}
	return h
}
