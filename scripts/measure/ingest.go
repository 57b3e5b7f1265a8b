package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"camseal/scripts/versity"
)

const (
	runs  = 3 // of each side, in turn; the median counts
	files = 8
)

// ingest measures a recorder's folder from the first byte read to the last stored receipt, against rclone copying the
// same folder into a bucket of the same kind.
func ingest(p *place, s3 bool) ([]row, error) {
	const total = 1 << 30
	if err := footage(p.path("footage"), files, total/files); err != nil {
		return nil, err
	}
	var ours, theirs, ratios []float64
	var last sample
	for i := range runs {
		base, err := p.rclone(fmt.Sprintf("rclone-%d", i))
		if err != nil {
			return nil, err
		}
		last, err = p.camseal(fmt.Sprintf("camseal-%d", i), p.path("footage"), s3)
		if err != nil {
			return nil, err
		}
		a, b := total/1e6/last.wall.Seconds(), total/1e6/base.Seconds()
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, a/b)
	}
	vault := map[bool]string{true: "S3 (versitygw, object lock)", false: "folder vault"}[s3]
	ratio := median(ratios)
	rows := []row{
		figure("sealed ingest of 1 GiB in 8 files into "+vault, "%.0f MB/s (runs: %.0f)", median(ours), ours),
		figure("rclone copy of the same folder into versitygw, 4 transfers", "%.0f MB/s (runs: %.0f)", median(theirs), theirs),
		target("ratio", fmt.Sprintf("%.2f (runs: %.2f)", ratio, ratios), "at least 1.0", ratio >= 1),
		figure("what bounds it: processor time in the last run", "%s", last.bound()),
	}
	return append(rows, last.memoryRows("1 GiB")...), nil
}

// slowChip measures whether a TPM as slow as real chips are holds ingest up: the same 4 GiB with a quote that takes 200 ms and
// with swtpm's own, in turn. What it may cost is the wait for the last seal, once, and not by the byte.
func slowChip(p *place) ([]row, error) {
	const total = 4 << 30
	if err := footage(p.path("footage"), files, total/files); err != nil {
		return nil, err
	}
	var fast, slow, ratios, extra []float64
	for i := range runs {
		var took [2]time.Duration
		for j, quote := range []time.Duration{0, 200 * time.Millisecond} {
			p.quote = quote
			name := fmt.Sprintf("run-%d-%d", i, j)
			s, err := p.camseal(name, p.path("footage"), false)
			if err != nil {
				return nil, err
			}
			took[j] = s.wall
			if err := os.RemoveAll(p.path(name)); err != nil {
				return nil, err
			}
		}
		a, b := total/1e6/took[0].Seconds(), total/1e6/took[1].Seconds()
		fast, slow = append(fast, a), append(slow, b)
		ratios, extra = append(ratios, b/a), append(extra, (took[1]-took[0]).Seconds())
	}
	return []row{
		figure("sealed ingest of 4 GiB in 8 files into folder vault, swtpm", "%.0f MB/s (runs: %.0f)", median(fast), fast),
		figure("the same with 200 ms a quote", "%.0f MB/s (runs: %.0f)", median(slow), slow),
		figure("seconds more", "%.1f (runs: %.1f)", median(extra), extra),
		target("ratio", fmt.Sprintf("%.2f (runs: %.2f)", median(ratios), ratios), "at least 0.95", median(ratios) >= 0.95),
	}, nil
}

// memory takes in 1 GiB and 8 GiB and compares the peaks; and 1 GiB in as many chunks as 64 GiB have, since what grows, if anything does,
// grows with their number.
func memory(p *place) ([]row, error) {
	var rows []row
	var peaks []sample
	for _, c := range []struct {
		gib  int64
		what string
		more []string
	}{{1, "1 GiB", nil}, {8, "8 GiB", nil}, {1, "1 GiB in chunks of 128 KiB", []string{"--chunk-size", "128KiB"}}} {
		dir := p.path("footage")
		if err := footage(dir, files, c.gib<<30/files); err != nil {
			return nil, err
		}
		s, err := p.camseal(fmt.Sprintf("memory-%d", len(peaks)), dir, true, c.more...)
		if err != nil {
			return nil, err
		}
		peaks = append(peaks, s)
		rows = append(rows, s.memoryRows(c.what)...)
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	agent, server := float64(peaks[1].agent)/float64(peaks[0].agent), float64(peaks[1].server)/float64(peaks[0].server)
	return append(rows,
		target("agent, 8 GiB against 1 GiB", fmt.Sprintf("%.2f", agent), "about 1", agent < 1.25),
		target("server, 8 GiB against 1 GiB", fmt.Sprintf("%.2f", server), "about 1", server < 1.25)), nil
}

// sample is one import: how long, how much memory at the peak, how much processor.
type sample struct {
	wall          time.Duration
	agent, server int64 // peak RssAnon, bytes
	cpuAgent      time.Duration
	cpuServer     time.Duration
	cpuGateway    time.Duration
	state         string // of the server
}

func (s sample) bound() string {
	sum := s.cpuAgent + s.cpuServer + s.cpuGateway
	return fmt.Sprintf("agent %.1f s, server %.1f s, versitygw %.1f s in %.1f s of wall: %.2f of 2 cores busy",
		s.cpuAgent.Seconds(), s.cpuServer.Seconds(), s.cpuGateway.Seconds(), s.wall.Seconds(), sum.Seconds()/s.wall.Seconds())
}

func (s sample) memoryRows(what string) []row {
	mib := func(n int64) string { return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20)) }
	return []row{
		target("peak RssAnon of the agent, "+what, mib(s.agent), "under 128 MiB", s.agent < 128<<20),
		target("peak RssAnon of the server, "+what, mib(s.server), "under 256 MiB", s.server < 256<<20),
	}
}

// rclone copies the footage into a fresh bucket with object lock and returns how long it took.
func (p *place) rclone(name string, flags ...string) (time.Duration, error) {
	gw, err := versity.Start(filepath.Join(p.bin, "s3serve"), p.path(name))
	if err != nil {
		return 0, err
	}
	defer gw.Stop()
	env := []string{"RCLONE_CONFIG_V_TYPE=s3", "RCLONE_CONFIG_V_PROVIDER=Other", "RCLONE_CONFIG_V_ENDPOINT=" + gw.Endpoint,
		"RCLONE_CONFIG_V_ACCESS_KEY_ID=" + gw.RootAccess, "RCLONE_CONFIG_V_SECRET_ACCESS_KEY=" + gw.RootSecret,
		"RCLONE_CONFIG_V_REGION=us-east-1", "RCLONE_CONFIG=" + p.path("rclone.conf")}
	r, err := p.do(env, "rclone", append([]string{"copy", p.path("footage"), "v:" + gw.Bucket, "--transfers", "4", "--ca-cert", gw.CAFile}, flags...)...)
	if err != nil {
		return 0, err
	}
	return r.wall, os.RemoveAll(p.path(name))
}

// camseal takes the folder in with an agent and a server that are made for it, up to the last stored receipt.
func (p *place) camseal(name, folder string, s3 bool, more ...string) (sample, error) {
	dir := p.path(name)
	var storage []string
	var gw *versity.Gateway
	if s3 {
		var err error
		if gw, err = versity.Start(filepath.Join(p.bin, "s3serve"), filepath.Join(dir, "s3")); err != nil {
			return sample{}, err
		}
		defer gw.Stop()
		if storage, err = gw.ServerFlags(); err != nil {
			return sample{}, err
		}
	}
	sys, err := p.enrolled(dir, storage)
	if err != nil {
		return sample{}, err
	}
	defer sys.stop()
	run, err := p.do(nil, "camseal-agent", slices.Concat([]string{"import"}, sys.flags, more, []string{"--recorder", "BENCH", "--settle", "0s", "--json", folder})...)
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, sys.server.out.Bytes())
	}
	out := sample{wall: run.wall, agent: run.peak, server: sys.server.peak, cpuAgent: run.cpu(), cpuServer: sys.server.cpu(), state: filepath.Join(dir, "server")}
	if s3 {
		out.cpuGateway = processor(gw.PID)
	}
	return out, nil
}
