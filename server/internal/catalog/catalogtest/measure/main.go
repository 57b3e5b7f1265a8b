// Measure fills a catalog of very many recordings on each database and prints how long searches take, as JSON lines. Usage: measure DIR N
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"camseal/pkg/evidence"
	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/catalogtest"
	"camseal/server/internal/catalog/pgtest"
)

const (
	perPage  = 50
	searches = 500
	deep     = 20 // pages, in every tenth search
)

// figures are what is printed of one database; times in milliseconds, each sorted.
type figures struct {
	Database   string
	Recordings int
	Tokens     int
	Filled     float64              // seconds
	First      []float64            // first pages, their rows and the count included
	Later      []float64            // later pages
	Row        []float64            // the row of a recording, by its id
	Kinds      map[string][]float64 // first pages by the sort of question
	Empty      int                  // searches that found nothing
	Bounded    int                  // pages that say how far they looked
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: measure DIR N [WHERE]; WHERE is one catalog, which is filled only if it is empty")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if len(args) > 2 {
		return measure(args[2], n)
	}
	file := filepath.Join(args[0], "review.db")
	if err := measure(file, n); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	where, stop, err := pgtest.Start("-c", "shared_buffers=1GB", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=30min")
	if err != nil {
		return err
	}
	return errors.Join(measure(where, n), stop())
}

func measure(where string, n int) error {
	ctx, f := context.Background(), figures{Database: "SQLite", Recordings: n, Kinds: map[string][]float64{}}
	if catalog.OnPostgreSQL(where) {
		f.Database = "PostgreSQL"
	}
	town := catalogtest.NewTown(7)
	if err := f.fill(ctx, where, town); err != nil {
		return err
	}
	c, err := catalog.Open(ctx, where)
	if err != nil {
		return err
	}
	return errors.Join(f.measure(ctx, c, town), c.Close())
}

func (f *figures) fill(ctx context.Context, where string, town *catalogtest.Town) error {
	c, err := catalog.Open(ctx, where)
	if err != nil {
		return err
	}
	there, err := c.CountShown(ctx)
	if err = errors.Join(err, c.Close()); err != nil || there > 0 {
		return err
	}
	begin := time.Now()
	if f.Tokens, err = catalogtest.Fill(ctx, where, town, f.Recordings); err != nil {
		return err
	}
	f.Filled = time.Since(begin).Seconds()
	fmt.Fprintf(os.Stderr, "%s: %d recordings, %d tokens in %.0f s\n", f.Database, f.Recordings, f.Tokens, f.Filled)
	return nil
}

func (f *figures) measure(ctx context.Context, c *catalog.Catalog, town *catalogtest.Town) error {
	recs, err := f.search(ctx, c, town)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		id, err := evidence.ParseRecordingID(rec)
		if err != nil {
			return err
		}
		begin := time.Now()
		if _, err := c.FindRecording(ctx, id); err != nil {
			return err
		}
		f.Row = append(f.Row, ms(begin))
	}
	for _, list := range [][]float64{f.First, f.Later, f.Row} {
		slices.Sort(list)
	}
	for _, list := range f.Kinds {
		slices.Sort(list)
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

func ms(begin time.Time) float64 { return float64(time.Since(begin).Microseconds()) / 1000 }

// search asks its questions, and returns some of the recordings that it found.
func (f *figures) search(ctx context.Context, c *catalog.Catalog, town *catalogtest.Town) (recs []string, err error) {
	for i := range searches {
		q, kind := town.Search()
		var after catalog.Place
		for page := range deep {
			begin := time.Now()
			found, err := c.Search(ctx, q, after, perPage)
			if err == nil {
				_, err = c.Shared(ctx, found.Rows) // as the page does
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			took := ms(begin)
			if page == 0 {
				f.First, f.Kinds[kind] = append(f.First, took), append(f.Kinds[kind], took)
				if len(found.Rows) == 0 && found.Next == nil {
					f.Empty++
				}
			} else {
				f.Later = append(f.Later, took)
			}
			if found.Back != nil {
				f.Bounded++
			}
			if len(found.Rows) > 0 && page == 0 {
				recs = append(recs, found.Rows[len(found.Rows)-1].Rec)
			}
			if found.Next == nil || i%10 > 0 {
				break
			}
			after = *found.Next
		}
	}
	return recs, nil
}
