package app

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones on machines that have none

	"camseal/pkg/configfile"
	"camseal/pkg/tlog"
	"camseal/pkg/transport"
	"camseal/server/internal/catalog"
	"camseal/server/internal/ledger"
)

// settings are the keys of server.yaml; each is a flag of the same name.
type settings struct {
	State  string   `help:"Folder for keys, log, catalog and quarantine." default:"/var/lib/camseal-server" placeholder:"DIR"`
	Listen string   `help:"Address for the agents (TLS)." default:"127.0.0.1:8443" placeholder:"ADDR"`
	Web    string   `help:"Address of the web page. Without web-certificate only this machine's own." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Names  []string `help:"Names and IP addresses in the server's certificate, and by which the web page may be reached." default:"localhost,127.0.0.1,::1"`

	WebCertificate string `help:"File with the web page's certificate chain (PEM): it is served over TLS 1.3, on any address." placeholder:"FILE"`
	WebKey         string `help:"File (mode 0600) with its key (PEM)." placeholder:"FILE"`
	WebURL         string `name:"web-url" help:"How people reach the web page, for links. Default: made of web and names." placeholder:"URL"`
	SessionIdle    days   `help:"Who does nothing for so long has to sign in again." default:"30m"`
	SessionLife    days   `help:"So does everybody after this." default:"12h"`

	OIDCIssuer   string `name:"oidc-issuer" help:"Let people sign in with this OpenID Connect provider, too." placeholder:"URL"`
	OIDCClientID string `name:"oidc-client-id" help:"This server's name there."`
	OIDCSecret   string `name:"oidc-client-secret-file" help:"File (mode 0600) with its secret there." placeholder:"FILE"`
	OIDCClaim    string `name:"oidc-login-claim" help:"The claim that is the account's login." default:"preferred_username"`

	Vault       string `help:"Folder of the vault. Default: vault in the state folder. Not used with s3-endpoint." placeholder:"DIR"`
	S3Endpoint  string `name:"s3-endpoint" help:"Keep the vault in S3 with object lock instead: https://host[:port]." placeholder:"URL"`
	S3Bucket    string `name:"s3-bucket" help:"Bucket, made with object lock."`
	S3Region    string `name:"s3-region" help:"Region." default:"us-east-1"`
	S3CA        string `name:"s3-ca" help:"File with the authority of the S3 server's certificate. Default: the system's." placeholder:"FILE"`
	S3AccessKey string `name:"s3-access-key" help:"Access key." env:"CAMSEAL_S3_ACCESS_KEY"`
	S3Secret    string `name:"s3-secret-file" help:"File (mode 0600) with the secret key. Default: s3.secret in the state folder." placeholder:"FILE"`

	Catalog            string `help:"PostgreSQL database of the catalog: postgres://user@host/database. Default: catalog.db in the state folder." placeholder:"URL"`
	CatalogPassword    string `name:"catalog-password-file" help:"File (mode 0600) with that user's password." placeholder:"FILE"`
	S3DisposeAccessKey string `name:"s3-dispose-access-key" help:"Access key of the credentials that remove what was disposed of. Default: nothing can be disposed of on S3." env:"CAMSEAL_S3_DISPOSE_ACCESS_KEY"`
	S3DisposeSecret    string `name:"s3-dispose-secret-file" help:"File (mode 0600) with their secret key. Default: s3-dispose.secret in the state folder." placeholder:"FILE"`

	LogName            string        `help:"Name of the log; only init uses it. Default: a random one." placeholder:"NAME"`
	Retention          days          `help:"How long footage stays locked at least." default:"90d"`
	LogRetention       days          `help:"How long statements, receipts and the log stay locked; at least as long as footage." default:"3650d"`
	HeaderDeadline     days          `help:"How long after sealing began a case header is on time." default:"24h"`
	Timezone           string        `help:"Zone in which working days begin and end, for the terms of legal review." default:"Asia/Shanghai" placeholder:"NAME"`
	SweepInterval      time.Duration `help:"How often locks are made to follow terms and holds, and disposals are finished." default:"1h"`
	ExportDeadline     days          `help:"How long after a file was made it is to be taken in at the dock; later ones are called late." default:"48h"`
	BatchAge           time.Duration `help:"How long the log gathers leaves." default:"50ms"`
	CheckpointInterval time.Duration `help:"How often the log signs a checkpoint at most." default:"100ms"`

	EKRoots           string `name:"ek-roots" help:"Folder of TPM makers' roots and intermediates (*.pem), which vouch for devices that enrol." placeholder:"DIR"`
	EKRootsTrial      string `name:"ek-roots-trial" help:"Folder of emulators' roots: such devices are enrolled, and graded a trial." placeholder:"DIR"`
	AllowUnknownMaker bool   `help:"Enrol TPMs that no root vouches for. Every recording shows it."`

	Witnesses   []string      `name:"witness" sep:"none" help:"A witness that cosigns checkpoints: its verifier key, a space, its URL. Repeatable." placeholder:"VKEY URL"`
	Quorum      int           `help:"Of how many witnesses a checkpoint counts as witnessed. Default: one, if there are witnesses."`
	TSA         string        `name:"tsa" help:"Time stamping authority (RFC 3161) for checkpoints." placeholder:"URL"`
	TSAInterval time.Duration `name:"tsa-interval" help:"How often it is asked at most." default:"1h"`
	TSARoots    string        `name:"tsa-roots" help:"Folder of its roots (*.pem), for trust folders." placeholder:"DIR"`

	LiveListen     string        `name:"live-listen" help:"Address that live media go through, by UDP. Recorders and browsers elsewhere need one that they can reach, with a fixed port." default:"127.0.0.1:0" placeholder:"ADDR"`
	LiveTCP        string        `name:"live-tcp" help:"The same by TCP, for those whom UDP does not reach. Default: none." placeholder:"ADDR"`
	LivePublic     []string      `name:"live-public" help:"IP addresses under which live-listen is reached from outside, if a router translates them." placeholder:"IP"`
	LiveSTUN       []string      `name:"live-stun" help:"STUN servers that recorders and browsers are told of: stun:host:port." placeholder:"URL"`
	LiveTURN       []string      `name:"live-turn" help:"TURN servers, likewise: turn:host:port?transport=udp." placeholder:"URL"`
	LiveTURNSecret string        `name:"live-turn-secret-file" help:"File (mode 0600) with the secret that is shared with the TURN servers (coturn: static-auth-secret)." placeholder:"FILE"`
	LiveViewers    int           `name:"live-viewers" help:"How many may watch one recorder at once." default:"50"`
	LiveLinger     time.Duration `name:"live-linger" help:"How long a recorder goes on sending when nobody watches it any more: whoever watches again meanwhile has the picture sooner." default:"15s"`
	LiveRecode     bool          `name:"live-recode" help:"Code anew, by ffmpeg in its sandbox, what browsers can't be sent live: B-frames and AAC. It takes up much of a core for each such recorder."`

	QuarantineBytes   configfile.Size `help:"Quarantine of one device, bytes." default:"256MiB"`
	QuarantineEntries int             `help:"Quarantine of one device, entries." default:"1000"`
	MediaWorkers      int             `help:"Recordings from which pictures are made at once; 0: none are made." default:"1"`
	MediaBytes        configfile.Size `help:"What pictures and waveforms may take up in the state folder, about." default:"4GiB"`
	MediaDerive       bool            `help:"Make a copy of all that browsers can't play, without being asked."`
	MaxConnections    int             `help:"Connections at once, for each address." default:"512"`
	RememberedChunks  int             `help:"Chunks whose places are kept in memory." default:"200000"`
	LogLevel          slog.Level      `help:"debug, info, warn or error." default:"info"`
}

func (s *settings) check() error {
	switch {
	case s.Retention <= 0:
		return usagef("retention: it must be longer than nothing")
	case s.LogRetention < s.Retention:
		return usagef("log-retention: %s is shorter than retention, %s; footage without its proofs is worth little", s.LogRetention, s.Retention)
	case s.HeaderDeadline <= 0:
		return usagef("header-deadline: it must be longer than nothing")
	case s.ExportDeadline <= 0:
		return usagef("export-deadline: it must be longer than nothing")
	case s.SweepInterval < time.Second:
		return usagef("sweep-interval is a time such as 1h")
	case s.S3Endpoint == "" && s.S3DisposeAccessKey != "":
		return usagef("s3-dispose-access-key without s3-endpoint")
	case s.BatchAge <= 0 || s.CheckpointInterval < 10*time.Millisecond:
		return usagef("batch-age and checkpoint-interval are times such as 100ms")
	case s.QuarantineBytes < transport.MaxBatch || s.QuarantineEntries < 1:
		return usagef("quarantine: it must hold one batch at least, %d bytes", transport.MaxBatch)
	case s.MaxConnections < 4 || s.RememberedChunks < 1:
		return usagef("max-connections and remembered-chunks: too few")
	case s.MediaWorkers < 0 || s.MediaWorkers > 64 || s.MediaBytes < 1<<20:
		return usagef("media-workers is 0 to 64, media-bytes at least 1MiB")
	case s.S3Endpoint == "" && s.S3Bucket != "":
		return usagef("s3-bucket without s3-endpoint")
	}
	_, err := s.zone()
	if err := errors.Join(err, s.checkOutside(), s.checkCatalog(), s.checkLive()); err != nil {
		return err
	}
	return s.checkWeb()
}

func (s *settings) checkCatalog() error {
	u, err := url.Parse(s.Catalog)
	inside := false
	if err == nil && u.User != nil {
		_, inside = u.User.Password()
	}
	inside = inside || err == nil && u.Query().Has("password")
	switch {
	case s.Catalog == "" && s.CatalogPassword != "":
		return usagef("catalog-password-file without catalog")
	case s.Catalog == "":
		return nil
	case err != nil || !catalog.OnPostgreSQL(s.Catalog):
		return usagef("catalog: it is not a URL such as postgres://user@host/database")
	case inside:
		return usagef("catalog: the URL holds a password, which others could read; put it into a file (mode 0600) and name that by catalog-password-file")
	}
	return nil
}

// catalogPlace is where the catalog is, with the password if there is one.
func (s *settings) catalogPlace() (string, error) {
	if s.Catalog == "" || s.CatalogPassword == "" {
		return cmp.Or(s.Catalog, s.path(fileCatalog)), nil
	}
	secret, err := os.ReadFile(s.CatalogPassword)
	if err != nil {
		return "", fmt.Errorf("catalog-password-file: %w", err)
	}
	u, err := url.Parse(s.Catalog)
	if err != nil {
		return "", usagef("catalog: it is not a URL")
	}
	u.User = url.UserPassword(u.User.Username(), strings.TrimRight(string(secret), "\r\n"))
	return u.String(), nil
}

// zone is where days begin and end.
func (s *settings) zone() (*time.Location, error) {
	z, err := time.LoadLocation(s.Timezone)
	if err != nil || s.Timezone == "" || s.Timezone == "Local" {
		return nil, usagef("timezone: %q is no zone's name, such as Asia/Shanghai", s.Timezone)
	}
	return z, nil
}

// checkOutside checks what is said about those who vouch from outside.
func (s *settings) checkOutside() error {
	witnesses, err := s.witnesses()
	switch {
	case err != nil:
		return err
	case s.Quorum < 0 || s.Quorum > len(witnesses):
		return usagef("quorum: %d of %d witnesses can't be had", s.Quorum, len(witnesses))
	case s.TSA != "" && s.TSAInterval < time.Second:
		return usagef("tsa-interval is a time such as 1h")
	}
	return nil
}

// witnesses are those of the configuration.
func (s *settings) witnesses() ([]ledger.Witness, error) {
	var out []ledger.Witness
	for _, w := range s.Witnesses {
		words := strings.Fields(w)
		if len(words) != 2 {
			return nil, usagef("witness: %q is not a verifier key, a space and a URL", w)
		}
		if _, err := tlog.NewCosigner(words[0]); err != nil {
			return nil, usagef("witness: %v", err)
		}
		if u, err := url.Parse(words[1]); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, usagef("witness: %q is not a URL", words[1])
		}
		out = append(out, ledger.Witness{Key: words[0], URL: words[1]})
	}
	return out, nil
}

func (s *settings) path(name string) string { return filepath.Join(s.State, name) }

func (s *settings) vaultDir() string {
	if s.Vault != "" {
		return s.Vault
	}
	return s.path("vault")
}

// days is a time span such as 90d, 36h or 1d12h.
type days time.Duration

func (d days) String() string { return time.Duration(d).String() }

// UnmarshalText reads whole days before what time.ParseDuration reads.
func (d *days) UnmarshalText(text []byte) error {
	word := string(text)
	total := time.Duration(0)
	if n, rest, ok := strings.Cut(word, "d"); ok {
		whole, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a time span such as 90d or 36h", word)
		}
		total, word = time.Duration(whole)*24*time.Hour, rest
	}
	if word != "" {
		rest, err := time.ParseDuration(word)
		if err != nil {
			return fmt.Errorf("%q is not a time span such as 90d or 36h", string(text))
		}
		total += rest
	}
	*d = days(total)
	return nil
}
