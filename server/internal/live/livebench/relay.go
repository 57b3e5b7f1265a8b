package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"camseal/server/internal/live"
)

// relay serves a relay until standard input ends.
func relay(ctx context.Context) (err error) {
	r, err := live.New(live.Config{MaxViewers: 500, MaxAllViewers: 500, Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	mux := http.NewServeMux()
	mux.HandleFunc("/whip/{stream}", func(w http.ResponseWriter, q *http.Request) { r.WHIP(w, q, q.PathValue("stream"), q.URL.Path) })
	mux.HandleFunc("/whep/{stream}", func(w http.ResponseWriter, q *http.Request) { r.WHEP(w, q, q.PathValue("stream"), q.URL.Path) })
	mux.HandleFunc("/whep/{stream}/{session}", func(w http.ResponseWriter, q *http.Request) {
		r.WHEPSession(w, q, q.PathValue("stream"), q.PathValue("session"))
	})
	mux.HandleFunc("/usage", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, cpu()) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return ctx.Err()
}

// cpu is what this process has used of the processor, in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
