package catalogtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"camseal/server/internal/catalog"
	"camseal/server/internal/catalog/db"
)

// Fill puts n recordings of a town into the new catalog at where, which nobody has open. It returns how many tokens they have.
func Fill(ctx context.Context, where string, t *Town, n int) (tokens int, err error) {
	c, err := catalog.Open(ctx, where) // makes the tables
	if err != nil {
		return 0, err
	}
	if err := c.Close(); err != nil {
		return 0, err
	}
	var to sink
	if catalog.OnPostgreSQL(where) {
		to, err = newCopies(ctx, where)
	} else {
		to, err = newInserts(ctx, where)
	}
	if err != nil {
		return 0, err
	}
	tokens, err = fill(to, t, n)
	return tokens, errors.Join(err, to.close())
}

// sink takes rows, table by table.
type sink interface {
	table(name string, rows func(yield func([]any) bool)) error
	close() error
}

func fill(to sink, t *Town, n int) (count int, err error) {
	at := make([]int64, n)
	entries := map[string][]uint32{}
	bodies := make([]string, n)
	err = to.table("recordings", func(yield func([]any) bool) {
		for i := range n {
			row, texts := t.Recording(i, n)
			body, tokens, e := catalog.IndexOf(row, texts...)
			if err = e; err != nil {
				return
			}
			at[i], bodies[i] = row.At, body
			for _, token := range tokens {
				entries[token] = append(entries[token], uint32(i))
			}
			if !yield(fields(row)) {
				return
			}
		}
	})
	if err != nil {
		return 0, err
	}
	err = to.table("devices", func(yield func([]any) bool) {
		for i, d := range t.devices {
			if !yield(fields(db.Device{Device: d, Class: "tpm", TlsKey: fmt.Sprint(i)})) {
				return
			}
		}
	})
	if err != nil {
		return 0, err
	}
	err = to.table("texts", func(yield func([]any) bool) {
		for i, body := range bodies {
			if !yield([]any{int64(i) + 1, int64(i), body}) {
				return
			}
		}
	})
	if err != nil {
		return 0, err
	}
	names := make([]string, 0, len(entries))
	for token, list := range entries {
		slices.SortStableFunc(list, func(a, b uint32) int { return int(at[a] - at[b]) })
		names = append(names, token)
		count += len(list)
	}
	slices.Sort(names)
	return count, to.table("tokens", func(yield func([]any) bool) {
		for _, token := range names {
			for _, i := range entries[token] {
				if !yield([]any{token, at[i], int64(i) + 1}) {
					return
				}
			}
		}
	})
}

// fields are the values of a row in the order of its columns.
func fields(row any) []any {
	v := reflect.ValueOf(row)
	out := make([]any, v.NumField())
	for i := range out {
		out[i] = v.Field(i).Interface()
	}
	return out
}

// inserts fills SQLite.
type inserts struct {
	conn *sql.DB
	tx   *sql.Tx
}

func newInserts(ctx context.Context, path string) (*inserts, error) {
	conn, err := sql.Open("sqlite", path+"?_pragma=synchronous(OFF)&_pragma=cache_size(-800000)")
	if err != nil {
		return nil, err
	}
	conn.SetMaxOpenConns(1)
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &inserts{conn, tx}, nil
}

// table inserts some rows at a time: a statement has at most 32,766 values.
func (s *inserts) table(name string, rows func(yield func([]any) bool)) (err error) {
	const together = 60
	prepared := map[int]*sql.Stmt{} // by the number of rows
	var values []any
	held := 0
	flush := func() bool {
		if held == 0 {
			return true
		}
		stmt := prepared[held]
		if stmt == nil {
			one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(values)/held), ", ") + ")"
			if stmt, err = s.tx.Prepare("INSERT INTO " + name + " VALUES " + strings.TrimSuffix(strings.Repeat(one+", ", held), ", ")); err != nil {
				return false
			}
			prepared[held] = stmt
		}
		_, err = stmt.Exec(values...)
		values, held = values[:0], 0
		return err == nil
	}
	rows(func(v []any) bool {
		values = append(values, v...)
		held++
		return held < together || flush()
	})
	if err == nil {
		flush()
	}
	return err
}

func (s *inserts) close() error {
	err := s.tx.Commit()
	if err == nil {
		_, err = s.conn.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	}
	return errors.Join(err, s.conn.Close())
}

// copies fills PostgreSQL.
type copies struct {
	ctx  context.Context
	conn *pgx.Conn
}

func newCopies(ctx context.Context, where string) (*copies, error) {
	conn, err := pgx.Connect(ctx, where)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, "SET maintenance_work_mem = '1GB'; ALTER TABLE tokens DROP CONSTRAINT tokens_pkey")
	return &copies{ctx, conn}, err
}

func (s *copies) table(name string, rows func(yield func([]any) bool)) error {
	described, err := s.conn.Prepare(s.ctx, "columns-of-"+name, "SELECT * FROM "+name)
	if err != nil {
		return err
	}
	var columns []string
	for _, f := range described.Fields {
		columns = append(columns, f.Name)
	}
	list := make(chan []any, 1024)
	enough := make(chan struct{})
	go func() {
		defer close(list)
		rows(func(v []any) bool {
			select {
			case list <- v:
				return true
			case <-enough:
				return false
			}
		})
	}()
	_, err = s.conn.CopyFrom(s.ctx, pgx.Identifier{name}, columns, pgx.CopyFromFunc(func() ([]any, error) { return <-list, nil }))
	close(enough)
	for range list { // what was on its way
	}
	return err
}

func (s *copies) close() error {
	_, err := s.conn.Exec(s.ctx, "ALTER TABLE tokens ADD PRIMARY KEY (token, at, num)")
	if err == nil {
		_, err = s.conn.Exec(s.ctx, "VACUUM ANALYZE")
	}
	return errors.Join(err, s.conn.Close(s.ctx))
}
