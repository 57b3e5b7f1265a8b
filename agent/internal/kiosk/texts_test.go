package kiosk

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"camseal/agent/internal/dock"
	"camseal/pkg/handoff"
)

// Every text that is asked for is there, in both languages, with the same blanks to fill in; and every text is asked for.
func TestTextsAreComplete(t *testing.T) {
	used := map[string]bool{}
	use := func(prefix string, keys ...string) {
		for _, k := range keys {
			used[prefix+k] = true
		}
	}
	for _, state := range []dock.TileState{dock.TileEmpty, dock.TileReleased, dock.TileStored, dock.TileCopied, dock.TileHeader, dock.TileReading, dock.TileFault} {
		use("tile-", string(state))
		use("do-", string(state))
		if icons[state] == "" {
			t.Errorf("%s has no icon", state)
		}
	}
	for _, state := range []dock.FieldState{dock.FieldMatched, dock.FieldHeard, dock.FieldMissing, stateTyped, stateOffered} {
		use("field-", string(state))
		if (field{State: state}).Icon() == "" {
			t.Errorf("%s has no icon", state)
		}
	}
	for _, kind := range []handoff.Kind{handoff.KindVideo, handoff.KindSound, handoff.KindPhoto, handoff.KindLog, handoff.KindTrack, handoff.KindOther} {
		use("kind-", string(kind))
	}
	use("item-", "reading", "sealed", "stored", "released", "faulty")
	use("", "certificate-invalid", "certificate-unknown", "no-voice", "late") // flags of a header
	use("", fieldDepartment, fieldOfficers, fieldCause, fieldTime, fieldPlace, fieldActivity, fieldCase, fieldCompanions)
	use("", said...)
	var source bytes.Buffer
	asked := regexp.MustCompile(`(?:\.T "|in\(")([a-zA-Z-]+)"`)
	for _, pattern := range []string{"*.go", "templates/*.html"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || path == "texts.go" {
				continue
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(raw)
			for _, m := range asked.FindAllSubmatch(raw, -1) {
				if m[1][len(m[1])-1] != '-' { // a prefix, see above
					used[string(m[1])] = true
				}
			}
		}
	}
	blanks := regexp.MustCompile(`%[a-z]`)
	for key := range used {
		if texts[key][0] == "" || texts[key][1] == "" {
			t.Errorf("text %q is missing", key)
		}
	}
	for key, both := range texts {
		if !used[key] && !strings.Contains(source.String(), `"`+key+`"`) {
			t.Errorf("text %q is never shown", key)
		}
		if en, zh := blanks.FindAllString(both[0], -1), blanks.FindAllString(both[1], -1); !slices.Equal(en, zh) {
			t.Errorf("text %q: blanks %q, and %q in Chinese", key, en, zh)
		}
		if strings.ContainsAny(both[0]+both[1], "!！") {
			t.Errorf("text %q exclaims", key)
		}
	}
}

// The words are those of the design's glossary.
func TestGlossary(t *testing.T) {
	for key, want := range map[string]string{
		"dock": "采集站", "group": "执法信息说明", "heard": "语音说明", "note": "文字说明", "department": "执法部门", "officers": "执法人员", "certificate": "执法证号",
		"cause": "事由", "time": "时间", "place": "地点", "unrecorded": "未作音像记录", "mark": "重点标记", "tile-copied": "已采集，可取走，请勿清空",
		"tile-stored": "已入库，可按许可清空", "tile-reading": "采集中", "recorder": "执法记录仪", "item-stored": "已入库锁定", "item-sealed": "已签封", "no-voice": "无语音说明",
		"mark-rec": "音像记录", "software": "软件签封（试用），无 TPM",
	} {
		if got := chinese.in(key); got != want {
			t.Errorf("%s is called %q, the glossary says %q", key, got, want)
		}
	}
}

// What is embedded asks for nothing from elsewhere, and has no script or style in a page.
func TestPagesAreSelfContained(t *testing.T) {
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := files.ReadFile(path)
		for _, bad := range []string{"http:", "https:", "src=\"//", " style=", "<style", " onclick", "<script>", "@import"} {
			if bytes.Contains(raw, []byte(bad)) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		if name, ok := strings.CutPrefix(path, "static/"); ok && kinds[name] == "" {
			t.Errorf("%s is not served", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Progress is never said to be further than it is.
func TestProgressIsNeverRoundedUp(t *testing.T) {
	for _, c := range []struct {
		t    dock.Tile
		want string
	}{
		{dock.Tile{}, "0 files …"},
		{dock.Tile{Files: 3, Bytes: 100, Read: 50}, "3 files …"},
		{dock.Tile{Listed: true}, "0 %"},
		{dock.Tile{Listed: true, Files: 3, Done: 2, Bytes: 1000, Read: 999}, "99 %"},
		{dock.Tile{Listed: true, Files: 3, Done: 2, Bytes: 1000, Read: 1000}, "99 %"},
		{dock.Tile{Listed: true, Files: 3, Done: 2, Bytes: 1000, Read: 2000}, "99 %"},
		{dock.Tile{Listed: true, Files: 3, Done: 3, Bytes: 1000, Read: 1000, Left: time.Second}, "100 % · 1 min"},
		{dock.Tile{Listed: true, Files: 3, Bytes: 1000, Read: 10, Left: 121 * time.Second}, "1 % · 3 min"},
		{dock.Tile{Listed: true, Files: 3, Bytes: 1 << 62, Read: 1 << 61, Left: 150 * time.Minute}, "50 % · 2 h 30 min"},
	} {
		if got := far(c.t, english); got != c.want {
			t.Errorf("%+v: %q, want %q", c.t, got, c.want)
		}
	}
}
