// Command camera is a networked recorder for trying things out: an RTSP server that plays real footage over and over, and behaves badly
// when it is told to.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"camseal/scripts/camera/recorder"
)

type options struct {
	Listen   string        `default:"127.0.0.1:8554" help:"Address for RTSP."`
	UDP      int           `name:"udp" help:"Port for RTP by UDP, an even one; the next one is for RTCP."`
	User     string        `help:"Who may watch."`
	Password string        `help:"Password of who may watch."`
	File     string        `default:"${footage}" help:"Footage."`
	Audio    string        `enum:"pcma,aac,none" default:"pcma" help:"pcma, aac or none."`
	Codec    string        `enum:"h264,h265" default:"h264" help:"h264 or h265."`
	GOP      time.Duration `name:"gop" default:"2s" help:"Between keyframes."`
	FPS      int           `name:"fps" default:"30" help:"Pictures a second."`
	Bitrate  string        `default:"4M" help:"Of pictures."`
	Size     string        `default:"1280x720" help:"Of pictures."`
	BFrames  bool          `name:"bframes" help:"Code pictures out of their order."`
	Length   time.Duration `default:"24s" help:"How much footage is encoded, to be played over and over."`
	Loop     bool          `default:"true" negatable:"" help:"Begin anew at its end."`
	Fault    string        `help:"What goes wrong: stall=10s@20s,size=640x360@15s,codec=h265@1m,jump=-1h@5s,nokey=60s@10s,noaudio=5s@3s,garbage=3s@8s"`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("camera"), kong.Vars{"footage": recorder.Footage})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	faults, err := recorder.ParseFaults(o.Fault)
	if err != nil {
		return err
	}
	c, err := recorder.Start(ctx, recorder.Config{Listen: o.Listen, UDP: o.UDP, User: o.User, Password: o.Password, File: o.File, Audio: o.Audio,
		Codec: o.Codec, GOP: o.GOP, FPS: o.FPS, Bitrate: o.Bitrate, Size: o.Size, BFrames: o.BFrames, Length: o.Length, Once: !o.Loop})
	if err != nil {
		return err
	}
	fmt.Printf("rtsp://%s/stream\n", c.Address())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	for _, f := range faults {
		group.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(f.After):
				return f.Do(ctx, c)
			}
		})
	}
	select {
	case <-ctx.Done():
	case <-c.Done():
	}
	stop()
	if err := group.Wait(); err != nil {
		return err
	}
	return c.Close()
}
