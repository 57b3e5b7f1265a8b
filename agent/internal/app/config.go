package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"camseal/pkg/configfile"
	"camseal/pkg/evidence"
	"camseal/pkg/transport"
)

// settings are the keys of agent.yaml; each is a flag of the same name.
type settings struct {
	State        string          `help:"Folder for keys, chain and spool." default:"/var/lib/camseal-agent" placeholder:"DIR"`
	TPM          string          `name:"tpm" help:"/dev/tpmrm0, swtpm:SOCKET, or software (a trial without a TPM). Default: /dev/tpmrm0 if it is there." placeholder:"TPM"`
	ChainPCR     int             `name:"chain-pcr" help:"PCR that takes the chain's heads, 8-15." default:"13"`
	LogKey       string          `help:"File with the verifier key of the server's log (log.vkey): enrol compares it with what the server says." placeholder:"FILE"`
	Server       string          `help:"Address of the server." default:"https://127.0.0.1:8443" placeholder:"URL"`
	CA           string          `name:"ca" help:"File with the authority of the server's certificate. Default: ca.pem in the state folder." placeholder:"FILE"`
	Recorder     string          `help:"Serial number of the recorder that the files come from."`
	ChunkSize    configfile.Size `help:"Bytes of a chunk." default:"8MiB"`
	SpoolMax     configfile.Size `help:"Bytes of footage held at most; 0: as much as the disk takes." default:"0"`
	SpoolReserve configfile.Size `help:"Bytes of the disk that footage leaves free." default:"256MiB"`
	SpoolAlarm   int             `help:"Per cent of that which is an alarm." default:"80"`
	Settle       time.Duration   `help:"How long a file must not have changed before it is read." default:"3s"`
	Readers      int             `help:"Files read at once." default:"2"`
	Uploads      int             `help:"Chunks sent at once." default:"4"`
	Gather       time.Duration   `help:"Least time between two seals." default:"100ms"`
	Lock         []evidence.Lock `help:"Locks of the server's vault that free the local copy." default:"compliance,folder"`
	Folders      []string        `help:"Folders that run watches." placeholder:"DIR"`
	Poll         time.Duration   `help:"How often run looks into them." default:"5s"`

	Station        string        `help:"Name of this dock, for people. Default: the machine's name."`
	Bridges        []string      `help:"Sockets of the bridges whose recorders run takes in." placeholder:"SOCKET"`
	Slots          []string      `help:"Slots of this dock, in the order of their tiles." placeholder:"SLOT"`
	Kiosk          string        `help:"Address of the dock's touch page, such as 127.0.0.1:8090. Empty: none." placeholder:"HOST:PORT"`
	KioskHosts     []string      `help:"Names under which the page may be asked for, besides this machine's own." placeholder:"HOST"`
	Lang           string        `help:"Language of whoever has chosen none: zh-CN or en." default:"zh-CN" enum:"zh-CN,en"`
	Speech         string        `help:"What transcribes spoken headers: pocketsphinx (English), none, or the address of an engine that speaks POST /v1/audio/transcriptions." default:"pocketsphinx" placeholder:"ENGINE"`
	SpeechModel    string        `help:"Model that such an engine is asked for." placeholder:"NAME"`
	SpeechLanguage string        `help:"Language that such an engine is told, such as zh. Empty: it guesses."`
	SpeechToken    string        `help:"File with the bearer token for such an engine." placeholder:"FILE"`
	SpeechPatience time.Duration `help:"How long transcribing one header may take." default:"1m"`
	SequenceGap    time.Duration `help:"Files of one recorder that follow each other within this time are one sequence." default:"2m"`
	HeaderDeadline time.Duration `help:"Time from taking in to the case header; after it, it is late." default:"24h"`
	ExportDeadline time.Duration `help:"Time from filming to taking in; after it, the dock says so. 0: none." default:"72h"`

	recorderSettings

	LogLevel slog.Level `help:"debug, info, warn or error." default:"info"`
}

func (s *settings) check() error {
	switch {
	case s.ChunkSize < 4096 || s.ChunkSize > transport.MaxChunk:
		return usagef("chunk-size: %d is not between 4KiB and 64MiB", s.ChunkSize)
	case s.SpoolMax != 0 && s.SpoolMax < 2*s.ChunkSize:
		return usagef("spool-max: %d holds not even two chunks of %d bytes", s.SpoolMax, s.ChunkSize)
	case s.SpoolAlarm < 1 || s.SpoolAlarm > 99:
		return usagef("spool-alarm: %d is not between 1 and 99 per cent", s.SpoolAlarm)
	case s.Readers < 1 || s.Readers > 64:
		return usagef("readers: %d is not between 1 and 64", s.Readers)
	case s.Uploads < 1 || s.Uploads > 64:
		return usagef("uploads: %d is not between 1 and 64", s.Uploads)
	case s.Settle < 0 || s.Poll <= 0 || s.Gather < 0:
		return usagef("settle, poll and gather are times such as 3s")
	case s.Kiosk != "" && len(s.Bridges) == 0:
		return usagef("kiosk: it shows recorders, and no bridge is named under bridges")
	case s.SpeechPatience <= 0 || s.SequenceGap < 0 || s.HeaderDeadline <= 0 || s.ExportDeadline < 0:
		return usagef("speech-patience, sequence-gap, header-deadline and export-deadline are times such as 24h")
	case s.ChainPCR < 8 || s.ChainPCR > 15:
		return usagef("chain-pcr: %d is not between 8 and 15", s.ChainPCR)
	}
	for _, l := range s.Lock {
		if l != evidence.LockCompliance && l != evidence.LockFolder {
			return usagef("lock: %q is neither compliance nor folder", l)
		}
	}
	return s.recorderSettings.check()
}

func (s *settings) path(name string) string { return filepath.Join(s.State, name) }

func (s *settings) caFile() string {
	if s.CA != "" {
		return s.CA
	}
	return s.path("ca.pem")
}

// tpm returns what to open, or says in so many words that there is no TPM.
func (s *settings) tpm() (string, error) {
	if s.TPM != "" {
		return s.TPM, nil
	}
	const usual = "/dev/tpmrm0"
	if _, err := os.Stat(usual); err != nil {
		return "", usagef("no TPM found (%s is not there); nothing was changed. Give its address with --tpm; or say --tpm software if you want a trial without one: "+
			"recordings are then graded software-sealed everywhere", usual)
	}
	return usual, nil
}
