package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"

	"camseal/pkg/durable"
)

// Renew makes a catalog anew: fill brings what is projected into an empty one, which then takes the place of the old. What is not projected
// (sign-ins, saved searches) is kept. On an error, or if it is interrupted, the old one is as it was.
func Renew(ctx context.Context, where string, fill func(*Catalog) error) error {
	if OnPostgreSQL(where) {
		return renewPostgreSQL(ctx, where, fill)
	}
	fresh := where + ".new"
	if err := removeFile(fresh); err != nil {
		return err
	}
	if err := renewFile(ctx, where, fresh, fill); err != nil {
		return errors.Join(err, removeFile(fresh))
	}
	// The new file is whole without its write-ahead log, which closing has emptied. The old one's must not be taken for its.
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := remove(where + suffix); err != nil {
			return err
		}
	}
	if err := os.Rename(fresh, where); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(where))
}

func renewFile(ctx context.Context, where, fresh string, fill func(*Catalog) error) (err error) {
	c, err := Open(ctx, fresh)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := fill(c); err != nil {
		return err
	}
	if _, err := os.Stat(where); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	old, err := Open(ctx, where) // brings its tables up to date
	if err == nil {
		err = old.Close()
	}
	if err == nil {
		err = c.takeOver(ctx, where)
	}
	if err != nil {
		return fmt.Errorf("the old catalog can't be read; move %s away and do it again: then sign-ins and saved searches, which are only there, are lost: %w", where, err)
	}
	return nil
}

// takeOver copies what is not projected from the SQLite file of the old catalog.
func (c *Catalog) takeOver(ctx context.Context, where string) (err error) {
	conn, err := c.sql.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "ATTACH DATABASE $1 AS old", where); err != nil {
		return err
	}
	tables, err := keptTables(ctx, conn)
	for _, table := range tables {
		if err == nil {
			_, err = conn.ExecContext(ctx, "INSERT INTO main."+table+" SELECT * FROM old."+table)
		}
	}
	_, detached := conn.ExecContext(ctx, "DETACH DATABASE old")
	return errors.Join(err, detached)
}

func keptTables(ctx context.Context, conn *sql.Conn) (out []string, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT name FROM old.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !slices.Contains(projected, name) {
			out = append(out, name)
		}
	}
	return out, rows.Err()
}

// renewPostgreSQL fills a schema of its own; the projected tables of it replace the others in one transaction.
func renewPostgreSQL(ctx context.Context, where string, fill func(*Catalog) error) (err error) {
	c, err := Open(ctx, where)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	var schema string
	if err := c.sql.QueryRowContext(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return err
	}
	fresh := schema + "_new"
	for _, text := range []string{"DROP SCHEMA IF EXISTS " + pgx.Identifier{fresh}.Sanitize() + " CASCADE", "CREATE SCHEMA " + pgx.Identifier{fresh}.Sanitize()} {
		if _, err := c.sql.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("make a schema beside %s: %w", schema, err)
		}
	}
	if err := fillSchema(ctx, where, fresh, fill); err != nil {
		_, gone := c.sql.ExecContext(context.WithoutCancel(ctx), "DROP SCHEMA "+pgx.Identifier{fresh}.Sanitize()+" CASCADE")
		return errors.Join(err, gone)
	}
	return c.takePlace(ctx, schema, fresh)
}

func fillSchema(ctx context.Context, where, schema string, fill func(*Catalog) error) error {
	c, err := openPostgreSQL(ctx, where, schema)
	if err != nil {
		return err
	}
	return errors.Join(fill(c), c.Close())
}

func (c *Catalog) takePlace(ctx context.Context, schema, fresh string) error {
	t, err := c.sql.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	run := func(text string) {
		if err == nil {
			_, err = t.ExecContext(ctx, text)
		}
	}
	for _, table := range projected {
		run("DROP TABLE " + pgx.Identifier{schema}.Sanitize() + "." + table)
		run("ALTER TABLE " + pgx.Identifier{fresh}.Sanitize() + "." + table + " SET SCHEMA " + pgx.Identifier{schema}.Sanitize())
	}
	run("DROP SCHEMA " + pgx.Identifier{fresh}.Sanitize() + " CASCADE")
	if err != nil {
		return errors.Join(err, t.Rollback())
	}
	return t.Commit()
}

// removeFile removes an SQLite database.
func removeFile(path string) error {
	return errors.Join(remove(path), remove(path+"-wal"), remove(path+"-shm"))
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
