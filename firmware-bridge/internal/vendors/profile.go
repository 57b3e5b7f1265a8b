package vendors

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"camseal/pkg/handoff"
)

//go:embed profiles/*.yaml
var builtIn embed.FS

// NoProfile is the name of the profile of recorders that no other profile describes.
const NoProfile = "none"

const (
	maxYAML     = 64 << 10 // bytes of a profile's file
	maxProfiles = 1000     // in a folder
)

// Profile says what is known of one maker's recorders. It is safe for concurrent use.
type Profile struct {
	name, model    string
	gbk            bool
	folders        []string // patterns of path.Match, lower case
	names          []namePattern
	kinds, general map[string]handoff.Kind // by extension, lower case; general is asked second
	important      marking
	sidecars       []sidecar
	defaultSerials []string
}

// Name returns the profile's name, as handoff.Docking carries it.
func (p *Profile) Name() string { return p.name }

// Model returns what people call such a recorder; empty if the profile does not say.
func (p *Profile) Model() string { return p.model }

type namePattern struct {
	re     *regexp.Regexp
	layout string
	kind   handoff.Kind
}

// marking says how files are marked important. All lower case.
type marking struct {
	Words    []string `yaml:"words"`
	Prefixes []string `yaml:"prefixes"`
	Suffixes []string `yaml:"suffixes"`
	Folders  []string `yaml:"folders"`
}

type sidecar struct {
	name, line *regexp.Regexp
	byStem     bool // it is about the file with its own stem; else each line names its file
	layout     string
	kind       handoff.Kind
}

// document is a profile as it stands in its file.
type document struct {
	Name           string                    `yaml:"name"`
	Model          string                    `yaml:"model"`
	Encoding       string                    `yaml:"encoding"`
	Folders        []string                  `yaml:"folders"`
	Files          []fileEntry               `yaml:"files"`
	Kinds          map[handoff.Kind][]string `yaml:"kinds"`
	Important      marking                   `yaml:"important"`
	Sidecars       []sidecarEntry            `yaml:"sidecars"`
	DefaultSerials []string                  `yaml:"default_serials"`
}

type fileEntry struct {
	Pattern string       `yaml:"pattern"`
	Time    string       `yaml:"time"`
	Kind    handoff.Kind `yaml:"kind"`
}

type sidecarEntry struct {
	Name string       `yaml:"name"`
	Line string       `yaml:"line"`
	Time string       `yaml:"time"`
	Kind handoff.Kind `yaml:"kind"`
}

// Table is every profile that is known, the operator's own before those that came with the program. It is safe for concurrent use.
type Table struct {
	profiles []*Profile // without none
	none     *Profile
}

// Load reads the profiles that came with the program and, unless dir is empty, every .yaml file of the folder dir. A file that breaks a rule, or
// bears a name that is taken, is refused by an error that names it and says what to do.
func Load(dir string) (*Table, error) {
	t := &Table{}
	sub, err := fs.Sub(builtIn, "profiles")
	if err != nil {
		return nil, err
	}
	own := []*Profile{}
	if dir != "" {
		if own, err = readAll(os.DirFS(dir)); err != nil {
			return nil, fmt.Errorf("vendor profiles in %s: %w; mend or remove that file, nothing was started", dir, err)
		}
	}
	came, err := readAll(sub)
	if err != nil {
		return nil, fmt.Errorf("vendor profiles of the program: %w", err)
	}
	taken := map[string]bool{}
	for _, p := range slices.Concat(came, own) {
		if taken[p.name] {
			return nil, fmt.Errorf("vendor profiles in %s: the name %q is taken; give yours another one", dir, p.name)
		}
		taken[p.name] = true
	}
	for _, p := range slices.Concat(own, came) {
		if p.name == NoProfile {
			t.none = p
		} else {
			t.profiles = append(t.profiles, p)
		}
	}
	if t.none == nil {
		return nil, errors.New("vendor profiles of the program: there is none called none")
	}
	for _, p := range t.profiles {
		p.general = t.none.kinds
	}
	return t, nil
}

func readAll(dir fs.FS) ([]*Profile, error) {
	files, err := fs.Glob(dir, "*.yaml")
	if err == nil && len(files) == 0 {
		_, err = fs.Stat(dir, ".") // Glob hides a folder that is missing
	}
	if err != nil {
		return nil, err
	}
	if len(files) > maxProfiles {
		return nil, fmt.Errorf("%d files are more than %d", len(files), maxProfiles)
	}
	var list []*Profile
	for _, name := range files {
		p, err := readFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, p)
	}
	return list, nil
}

func readFile(dir fs.FS, name string) (*Profile, error) {
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxYAML+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return parseProfile(raw)
}

func parseProfile(raw []byte) (*Profile, error) {
	if len(raw) > maxYAML {
		return nil, fmt.Errorf("it has more than %d bytes", maxYAML)
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, err
	}
	if aliased(&tree) {
		return nil, errors.New("an alias (*) can grow without end; write out what it stands for")
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the profile")
	}
	return d.profile()
}

func aliased(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, aliased)
}

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

func (d *document) profile() (*Profile, error) {
	if !profileName.MatchString(d.Name) {
		return nil, fmt.Errorf("name %q is not made of 1 to 40 of a-z, 0-9 and -", d.Name)
	}
	if d.Model != text(d.Model, 100) {
		return nil, fmt.Errorf("model %q is longer than 100 bytes or no plain text", d.Model)
	}
	if d.Encoding != "" && d.Encoding != "utf-8" && d.Encoding != "gbk" {
		return nil, fmt.Errorf("encoding %q is neither utf-8 nor gbk", d.Encoding)
	}
	p := &Profile{name: d.Name, model: d.Model, gbk: d.Encoding == "gbk", defaultSerials: d.DefaultSerials, kinds: map[string]handoff.Kind{},
		important: marking{lower(d.Important.Words), lower(d.Important.Prefixes), lower(d.Important.Suffixes), lower(d.Important.Folders)}}
	for _, f := range lower(d.Folders) {
		if _, err := path.Match(f, ""); err != nil || f == "." || !fs.ValidPath(f) {
			return nil, fmt.Errorf("folder %q is not a pattern such as dcim/*cam", f)
		}
		p.folders = append(p.folders, f)
	}
	for kind, extensions := range d.Kinds {
		if err := checkKind(kind); err != nil {
			return nil, err
		}
		for _, ext := range lower(extensions) {
			if _, twice := p.kinds[ext]; twice || ext == "" || strings.ContainsAny(ext, "./") {
				return nil, fmt.Errorf("extension %q is there twice, or no extension such as mp4", ext)
			}
			p.kinds[ext] = kind
		}
	}
	for _, f := range d.Files {
		n, err := f.compile()
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", f.Pattern, err)
		}
		p.names = append(p.names, n)
	}
	for _, s := range d.Sidecars {
		c, err := s.compile()
		if err != nil {
			return nil, fmt.Errorf("side-car %q: %w", s.Name, err)
		}
		p.sidecars = append(p.sidecars, c)
	}
	return p, nil
}

func (f fileEntry) compile() (namePattern, error) {
	re, err := compile(`(?i)(?:^|/)(?:`+f.Pattern+`)$`, "serial", "officer", "time", "number", "important", "duration", "group")
	if err == nil {
		err = checkLayout(re, f.Time)
	}
	if err == nil && f.Kind != "" {
		err = checkKind(f.Kind)
	}
	return namePattern{re, f.Time, f.Kind}, err
}

func (s sidecarEntry) compile() (sidecar, error) {
	name, err := compile(`(?i)^(?:`+s.Name+`)$`, "stem")
	if err != nil {
		return sidecar{}, err
	}
	line, err := compile(`^(?:`+s.Line+`)$`, "file", "offset", "time", "text", "important", "serial")
	if err != nil {
		return sidecar{}, err
	}
	c := sidecar{name, line, has(name, "stem"), s.Time, s.Kind}
	if s.Kind != "" {
		err = checkKind(s.Kind)
	}
	if c.byStem && has(line, "file") {
		err = errors.New("it is about the file with its own stem, so a line names no file")
	}
	if !c.byStem && !has(line, "file") && !has(line, "serial") {
		err = errors.New("without a stem in its name, a line names a file or a serial")
	}
	return c, errors.Join(err, checkLayout(line, s.Time))
}

// compile refuses a pattern without text and groups that nobody fills.
func compile(pattern string, known ...string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if re.MatchString("") {
		return nil, errors.New("it matches what is empty")
	}
	seen := map[string]bool{}
	for _, g := range re.SubexpNames()[1:] {
		if g != "" && (!slices.Contains(known, g) || seen[g]) {
			return nil, fmt.Errorf("group %q is there twice, or none of %s", g, strings.Join(known, ", "))
		}
		seen[g] = true
	}
	return re, nil
}

func has(re *regexp.Regexp, group string) bool { return re.SubexpIndex(group) >= 0 }

// checkLayout refuses a group time without a layout that can be read, and a layout without a group.
func checkLayout(re *regexp.Regexp, layout string) error {
	if has(re, "time") != (layout != "") {
		return errors.New("a group time needs a layout under time, and the other way round")
	}
	at := time.Date(2017, 7, 31, 15, 53, 41, 0, time.UTC)
	back, err := time.Parse(layout, at.Format(layout))
	if layout != "" && (err != nil || back.Year() != at.Year() || back.YearDay() != at.YearDay()) {
		return fmt.Errorf("time %q does not say a day as Go writes 2006-01-02 15:04:05", layout)
	}
	return nil
}

func checkKind(k handoff.Kind) error {
	switch k {
	case handoff.KindVideo, handoff.KindSound, handoff.KindPhoto, handoff.KindLog, handoff.KindTrack, handoff.KindOther:
		return nil
	}
	return fmt.Errorf("%q is none of the kinds video, sound, photo, log, track, other", k)
}

func lower(list []string) []string {
	out := make([]string, 0, len(list))
	for _, s := range list {
		out = append(out, strings.ToLower(s))
	}
	return out
}
