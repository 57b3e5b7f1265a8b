package main

import (
	"fmt"
	"path/filepath"
	"regexp"
)

var recID = regexp.MustCompile(`"rec":"([0-9a-f]{32})"`)

// verifying measures camseal-verify on a bundle with 1 GiB of footage against openssl hashing the same file.
func verifying(p *place) ([]row, error) {
	if err := footage(p.path("film"), 1, 1<<30); err != nil {
		return nil, err
	}
	trust, bundle, err := p.bundle(p.path("film"))
	if err != nil {
		return nil, err
	}
	originals, err := filepath.Glob(filepath.Join(bundle, "data/original/*"))
	if err != nil || len(originals) != 1 {
		return nil, fmt.Errorf("originals: %v %w", originals, err)
	}
	const pairs = 5
	var ours, theirs, ratios []float64
	var peak int64
	for i := range pairs + 1 {
		b, err := p.do(nil, "openssl", "dgst", "-sha256", originals[0])
		if err != nil {
			return nil, err
		}
		a, err := p.do(nil, "camseal-verify", "--trust", trust, bundle)
		if err != nil {
			return nil, err
		}
		if i == 0 { // warms the page cache
			continue
		}
		peak = max(peak, a.peak)
		ours, theirs = append(ours, a.wall.Seconds()), append(theirs, b.wall.Seconds())
		ratios = append(ratios, a.wall.Seconds()/b.wall.Seconds())
	}
	ratio := median(ratios)
	return []row{
		figure("camseal-verify, 1 GiB bundle, warm page cache", "%.2f s (runs: %.2f)", median(ours), ours),
		figure("openssl dgst -sha256 of the same file", "%.2f s (runs: %.2f)", median(theirs), theirs),
		target("ratio of time", fmt.Sprintf("%.2f (runs: %.2f)", ratio, ratios), "at most 1.3", ratio <= 1.3),
		figure("peak RssAnon of camseal-verify", "%.0f MiB", float64(peak)/(1<<20)),
	}, nil
}

// bundle takes a folder with one file in and exports it as a folder; the server has ended when it returns.
func (p *place) bundle(folder string) (trust, bundle string, err error) {
	s, err := p.camseal("source", folder, false)
	if err != nil {
		return "", "", err
	}
	list, err := p.do(nil, "camseal-server", "recordings", "--state", s.state, "--json")
	if err != nil {
		return "", "", err
	}
	rec := recID.FindSubmatch(list.out.Bytes())
	if rec == nil {
		return "", "", fmt.Errorf("no recording in %s", list.out.Bytes())
	}
	trust, bundle = p.path("trust"), p.path("bundle")
	if _, err := p.do(nil, "camseal-server", "trust-export", "--state", s.state, trust); err != nil {
		return "", "", err
	}
	_, err = p.do(nil, "camseal-server", "export", "--state", s.state, string(rec[1]), "--folder", "-o", bundle)
	return trust, bundle, err
}
