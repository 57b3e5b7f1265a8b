package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"camseal/server/internal/catalog/db"
	"camseal/server/internal/catalog/pgtest"
)

// onBoth runs a test with a new catalog on each database. where opens it again.
func onBoth(t *testing.T, f func(t *testing.T, c *Catalog, where string)) {
	t.Helper()
	run := func(t *testing.T, where string) {
		c, err := Open(context.Background(), where)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		f(t, c, where)
	}
	t.Run("SQLite", func(t *testing.T) { run(t, filepath.Join(t.TempDir(), "catalog.db")) })
	t.Run("PostgreSQL", func(t *testing.T) { run(t, pgtest.New(t)) })
}

func TestOneProcessTakesAPostgreSQLCatalog(t *testing.T) {
	where, ctx := pgtest.New(t), context.Background()
	first, err := Open(ctx, where)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Open(ctx, where); !errors.Is(err, ErrInUse) {
		t.Fatalf("a second one opened it: %v, %v", c, err)
	}
	if err := Renew(ctx, where, func(*Catalog) error { return errors.New("it was made anew") }); !errors.Is(err, ErrInUse) {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Open(ctx, where)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

// Whoever applies leaves to a catalog that another has brought further is refused, and nothing of the leaves stays.
func TestTwoThatApplyLeaves(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog, _ string) {
		ctx := context.Background()
		step := func(size, next uint64) error {
			return c.tx(ctx, func(q *db.Queries) error {
				if err := q.InsertAnchor(ctx, db.InsertAnchorParams{Device: "d", Seq: int64(next)}); err != nil {
					return err
				}
				return advance(ctx, q, size, next)
			})
		}
		for i, x := range []struct {
			size, next uint64
			ok         bool
		}{{0, 3, true}, {3, 5, true}, {3, 6, false}, {0, 7, false}, {5, 8, true}} {
			if err := step(x.size, x.next); (err == nil) != x.ok {
				t.Errorf("step %d: %v", i, err)
			}
		}
		dump, err := c.Dump(ctx)
		if err != nil || strings.Contains(dump, `'\x06'`) || strings.Contains(dump, `'\a'`) || !strings.Contains(dump, `'\b'`) {
			t.Errorf("%v\n%s", err, dump)
		}
	})
}

// Renew replaces what is projected, keeps the rest, and leaves all as it was when it can't end.
func TestRenewKeepsWhatIsNotProjected(t *testing.T) {
	for name, where := range map[string]string{"SQLite": filepath.Join(t.TempDir(), "odd ' name.db"), "PostgreSQL": pgtest.New(t)} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			open := func(f func(c *Catalog)) {
				t.Helper()
				c, err := Open(ctx, where)
				if err != nil {
					t.Fatal(err)
				}
				f(c)
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			exec := func(c *Catalog, text string) {
				t.Helper()
				if _, err := c.sql.ExecContext(ctx, text); err != nil {
					t.Fatal(text, err)
				}
			}
			open(func(c *Catalog) {
				exec(c, "CREATE TABLE sessions_of_a_test (id TEXT PRIMARY KEY)")
				exec(c, "INSERT INTO sessions_of_a_test (id) VALUES ('kept')")
				exec(c, "INSERT INTO anchors (device, seq) VALUES ('old', 1)")
			})
			// What the next one finds: its anchor, and the session.
			has := func(device string) {
				t.Helper()
				open(func(c *Catalog) {
					var anchor, session string
					if err := c.sql.QueryRow("SELECT device FROM anchors").Scan(&anchor); err != nil || anchor != device {
						t.Errorf("anchor of %q, %v; want %q", anchor, err, device)
					}
					if err := c.sql.QueryRow("SELECT id FROM sessions_of_a_test").Scan(&session); err != nil || session != "kept" {
						t.Errorf("session %q, %v", session, err)
					}
				})
			}
			fill := func(device string, ends error) error {
				return Renew(ctx, where, func(c *Catalog) error {
					if name == "SQLite" { // a migration would have made it
						exec(c, "CREATE TABLE sessions_of_a_test (id TEXT PRIMARY KEY)")
					}
					exec(c, fmt.Sprintf("INSERT INTO anchors (device, seq) VALUES ('%s', 1)", device))
					return ends
				})
			}
			cut := errors.New("cut")
			if err := fill("half", cut); !errors.Is(err, cut) {
				t.Fatal(err)
			}
			has("old")
			for _, device := range []string{"new", "newer"} {
				if err := fill(device, nil); err != nil {
					t.Fatal(err)
				}
				has(device)
			}
		})
	}
}

func TestTextsThatPostgreSQLCannotStore(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog, _ string) {
		ctx := context.Background()
		err := c.tx(ctx, func(q *db.Queries) error {
			return q.InsertUnrecorded(ctx, db.InsertUnrecordedParams{Device: "d", Rec: "r", Activity: "a\x00b", Reason: "现场", SaidBy: "'"})
		})
		list, err2 := c.Unrecorded(ctx, 9, "", 2)
		if err != nil || err2 != nil || len(list) != 1 || list[0].Activity != "a\uFFFDb" || list[0].Reason != "现场" {
			t.Errorf("%+v, %v, %v", list, err, err2)
		}
	})
}

func TestNoErrorNamesThePassword(t *testing.T) {
	where := pgtest.New(t)
	u, err := url.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(pgtest.User, "not-the-password")
	for _, wrong := range []string{u.String(), strings.Replace(u.String(), "host=", "host=/nowhere", 1), u.String() + "&sslmode=odd"} {
		c, err := Open(context.Background(), wrong)
		if err == nil || strings.Contains(err.Error(), "not-the-password") {
			t.Errorf("%v, %v", c, err)
		}
	}
}
