package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/header"
	"camseal/agent/internal/header/remote"
	"camseal/agent/internal/header/sphinx"
	"camseal/agent/internal/kiosk"
	"camseal/pkg/sandbox"
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
	listener, err := n.newListener()
	if err != nil {
		return err
	}
	n.dock, err = dock.New(dock.Config{Station: cmp.Or(n.set.Station, host), Bridges: n.set.Bridges, Slots: n.set.Slots, Spool: n.spool, Taker: n.taker,
		Server: n.client, Log: log, Listener: listener, Health: n.health, Online: n.uplink.Online, SequenceGap: n.set.SequenceGap, HeaderDeadline: n.set.HeaderDeadline,
		ExportDeadline: n.set.ExportDeadline, ReadAtOnce: n.set.Readers, Except: n.own(), Now: now, Logger: n.log})
	return err
}

// newListener makes what listens to spoken headers; nil if that is switched off.
func (n *node) newListener() (dock.Listener, error) {
	var engine header.Engine
	switch n.set.Speech {
	case "none":
		return nil, nil
	case "pocketsphinx":
		engine = &sphinx.Engine{Sandbox: sandbox.Box{Time: n.set.SpeechPatience}}
	default:
		var err error
		if engine, err = remote.New(remote.Config{Base: n.set.Speech, Model: n.set.SpeechModel, Language: n.set.SpeechLanguage, Token: n.set.SpeechToken, Timeout: n.set.SpeechPatience}); err != nil {
			return nil, usagef("speech: %v; give the address of an engine, pocketsphinx or none", err)
		}
	}
	return &header.Listener{Engine: engine, Patience: n.set.SpeechPatience, Now: now, Log: n.log}, nil
}

const headerWait = 10 * time.Second

// serveKiosk serves the dock's touch page, if it is wanted.
func (n *node) serveKiosk() error {
	if n.set.Kiosk == "" {
		return nil
	}
	page, err := kiosk.New(kiosk.Config{Station: n.dock, Now: now, Log: n.log, Lang: n.set.Lang, Hosts: n.set.KioskHosts})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", n.set.Kiosk)
	if err != nil {
		return usagef("kiosk: %v; give another address, or end what uses this one", err)
	}
	n.kiosk = &http.Server{Handler: page, ReadHeaderTimeout: headerWait, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug)}
	n.serving.Go(func() {
		if err := n.kiosk.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			n.log.Error("the dock's page: " + err.Error())
		}
	})
	n.log.Info("the dock's page", slog.String("address", "http://"+l.Addr().String()))
	return nil
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
