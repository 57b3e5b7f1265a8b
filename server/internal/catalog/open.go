package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the embedded database

	"camseal/server/internal/catalog/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrInUse says that another process has the catalog.
var ErrInUse = errors.New("the catalog is in use by another camseal-server; nothing was changed; stop that one, or give this one a database of its own")

const (
	connections = 8
	lockWait    = "3s" // for a process that is just ending
	lockTaken   = "55P03"
)

// Catalog is the database. It is safe for concurrent use.
type Catalog struct {
	sql     *sql.DB
	q       *db.Queries
	dialect goose.Dialect
	held    *sql.Conn // PostgreSQL: has the lock that keeps other processes out; nil in SQLite, where the state folder is locked
}

// OnPostgreSQL reports whether where names a PostgreSQL database rather than a file.
func OnPostgreSQL(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// Open opens or makes a catalog and brings its tables up to date: where is the path of an SQLite file, or a postgres:// URL. What it
// acknowledges is durable. A PostgreSQL database is taken by one process at a time. Errors: ErrInUse.
func Open(ctx context.Context, where string) (*Catalog, error) {
	if OnPostgreSQL(where) {
		return openPostgreSQL(ctx, where, "")
	}
	opts := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(15000)"}}
	conn, err := sql.Open("sqlite", "file:"+(&url.URL{Path: where}).EscapedPath()+"?"+opts.Encode())
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c := newCatalog(conn, goose.DialectSQLite3)
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", where, err), c.Close())
	}
	return c, nil
}

func newCatalog(conn *sql.DB, dialect goose.Dialect) *Catalog {
	conn.SetMaxOpenConns(connections)
	conn.SetMaxIdleConns(connections)
	return &Catalog{sql: conn, q: db.New(textual{conn}), dialect: dialect}
}

// openPostgreSQL opens the catalog in a schema; "" is the one that the database has for this user. No error names the password.
func openPostgreSQL(ctx context.Context, where, schema string) (*Catalog, error) {
	config, err := pgx.ParseConfig(where)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	config.RuntimeParams["application_name"] = "camseal-server"
	config.RuntimeParams["jit"] = "off" // compiling a question takes longer than any answer here
	if schema != "" {
		config.RuntimeParams["search_path"] = schema
	}
	c := newCatalog(stdlib.OpenDB(*config), goose.DialectPostgres)
	if err = c.hold(ctx); err == nil {
		err = c.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s on %s: %w", config.Database, config.Host, err), c.Close())
	}
	return c, nil
}

// hold keeps other processes out, as long as the connection that has the lock lives. Should it break, advance finds out who came in.
func (c *Catalog) hold(ctx context.Context) (err error) {
	if c.held, err = c.sql.Conn(ctx); err != nil {
		return err
	}
	if _, err = c.held.ExecContext(ctx, "SET lock_timeout = '"+lockWait+"'"); err != nil {
		return err
	}
	_, err = c.held.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended('camseal catalog in ' || current_schema(), 0))")
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == lockTaken {
		return ErrInUse
	}
	return err
}

// Close closes the database.
func (c *Catalog) Close() error {
	var err error
	if c.held != nil {
		err = c.held.Close()
	}
	return errors.Join(err, c.sql.Close())
}

func (c *Catalog) migrate(ctx context.Context) error {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(c.dialect, c.sql, dialectFS{sub, string(c.dialect)})
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// dialectFS reads migrations for one dialect: what stands in a comment that begins with the dialect's name counts, as in
// /*postgres COLLATE "C"*/ or /*sqlite3 WITHOUT ROWID*/. Everything else is the same for both.
type dialectFS struct {
	fs.FS
	dialect string
}

// Open implements fs.FS.
func (d dialectFS) Open(name string) (fs.File, error) {
	f, err := d.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	var out strings.Builder
	for rest := string(raw); ; {
		before, after, found := strings.Cut(rest, "/*"+d.dialect+" ")
		out.WriteString(before)
		if !found {
			return dialectFile{f, strings.NewReader(out.String())}, nil
		}
		inside, behind, _ := strings.Cut(after, "*/")
		out.WriteString(inside)
		rest = behind
	}
}

type dialectFile struct {
	fs.File
	text *strings.Reader
}

// Read implements fs.File.
func (f dialectFile) Read(b []byte) (int, error) { return f.text.Read(b) }

// textual keeps the character that PostgreSQL can't store out of texts: nobody who writes one may stop the projection.
type textual struct{ db.DBTX }

// ExecContext implements db.DBTX.
func (t textual) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	return t.DBTX.ExecContext(ctx, q, storable(args)...)
}

// QueryContext implements db.DBTX.
func (t textual) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	return t.DBTX.QueryContext(ctx, q, storable(args)...)
}

// QueryRowContext implements db.DBTX.
func (t textual) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	return t.DBTX.QueryRowContext(ctx, q, storable(args)...)
}

func storable(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = strings.ReplaceAll(s, "\x00", "\uFFFD")
		}
	}
	return args
}
