package kiosk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/kiosk"
	"camseal/pkg/evidence"
	"camseal/pkg/handoff"
	"camseal/pkg/transport"
)

// at is the time at the dock of these tests.
var at = time.Date(2026, 11, 25, 9, 52, 11, 0, time.Local)

func rec(n byte) evidence.RecordingID { return evidence.RecordingID{0xab, 15: n} }

func percent(n int) *int { return &n }

const gib = 1 << 30

// tilesOf are slots in every state, over and over.
func tilesOf(n int) (out []dock.Tile) {
	all := []dock.Tile{
		{State: dock.TileReading, Recorder: "BZ02712", Model: "DSJ-V8", Officer: "Li Wei", Battery: percent(81), Files: 30, Done: 12, Bytes: 20 * gib, Read: 87 * gib / 10, Left: 100 * time.Second, Listed: true, Space: 3 * gib, Size: 32 * gib, Export: at.Add(9 * time.Hour)},
		{State: dock.TileCopied, Recorder: "BZ02713", Model: "DSJ-V8", Officer: "Wang Fang", Files: 4, Done: 4, Bytes: 2 * gib, Read: 2 * gib, Listed: true, Space: 28 * gib, Size: 32 * gib},
		{State: dock.TileHeader, Recorder: "BZ02714", Model: "DSJ-V8", Officer: "Zhao Lei", Files: 3, Done: 3, Bytes: gib, Read: gib, Listed: true, Headers: 2, Space: 28 * gib, Size: 32 * gib, Export: at.Add(-20 * time.Hour), Overdue: true},
		{State: dock.TileEmpty},
		{State: dock.TileStored, Recorder: "BZ02715", Model: "DSJ-V8", Officer: "陈晓明", Files: 9, Done: 9, Stored: 9, Bytes: 4 * gib, Read: 4 * gib, Listed: true, Space: 22 * gib, Size: 32 * gib, Battery: percent(100)},
		{State: dock.TileFault, Recorder: "BZ02716", Officer: "孙丽", Fault: "The card gave read errors at 3 places. All else is copied and sealed. Leave it in, and call the person in charge."},
		{State: dock.TileReading, Recorder: "4D-11-7", Model: "no profile", Files: 1200, Space: gib / 2, Size: 64 * gib, First: true},
		{State: dock.TileReleased, Recorder: "BZ02718", Officer: "欧阳建国", Files: 7, Done: 7, Stored: 7, Released: 6, Kept: 1, Listed: true, Space: 30 * gib, Size: 32 * gib},
	}
	for i := range n {
		t := all[i%len(all)]
		t.Slot = fmt.Sprint(i + 1)
		out = append(out, t)
	}
	return out
}

// newStation is a dock with n slots and four groups: 1 heard, 2 not heard, 3 not understood and late, 4 with header and note.
func newStation(n int) *station {
	item := func(id byte, name string, k handoff.Kind, state string) dock.Item {
		return dock.Item{Rec: rec(id), Name: name, Kind: k, Size: 700 << 20, Read: 700 << 20, State: state, Begun: time.Date(2026, 11, 25, 8, 31, 5+int(id), 0, time.UTC).UnixMilli()}
	}
	important := item(12, "IMP_BZ02714_011314_20261125084410_0002.MP4", handoff.KindVideo, "stored")
	important.Important, important.Marks = true, 1
	header := evidence.Header{Department: "Market Supervision", Officers: evidence.List[evidence.Officer]{{Name: "Zhao Lei", Certificate: "33010003"}}, Cause: "Unlicensed sale", Time: "25 November, half past eight",
		Place: "East Market", Activity: "On-site inspection", Confirmed: "Zhao Lei"}
	return &station{changed: make(chan struct{}), sound: tone(),
		snap: dock.Snapshot{Station: "Station 3", At: at, Online: true, Class: "tpm", Held: 3 * gib, Free: 812 * gib, Late: 1, Version: 1, Tiles: tilesOf(n)},
		groups: []dock.Group{
			{ID: rec(1), Slot: "3", Recorder: "BZ02714", Due: at.Add(8 * time.Hour), Items: []dock.Item{item(1, "NOR_BZ02714_011314_20261125083106_0001.MP4", handoff.KindVideo, "sealed"), important},
				Heard: &dock.Heard{From: 4000, Until: 21000, Transcript: "market supervision officers li wei and wang fang unlicensed sale of food at the east market", Engine: "pocketsphinx 5prealpha", Confidence: 870,
					Fields: []dock.Field{{Name: "department", State: dock.FieldMatched, Value: "Market Supervision"}, {Name: "officers", State: dock.FieldMatched, Value: "Li Wei, Wang Fang"},
						{Name: "cause", State: dock.FieldHeard, Value: "unlicensed sale of food"}, {Name: "time", State: dock.FieldMissing}, {Name: "place", State: dock.FieldMatched, Value: "East Market"}}}},
			{ID: rec(2), Slot: "3", Recorder: "BZ02714", Due: at.Add(8 * time.Hour), Items: []dock.Item{item(2, "NOR_BZ02714_011314_20261125092000_0003.MP4", handoff.KindVideo, "reading")}},
			{ID: rec(3), Recorder: "BZ02799", Due: at.Add(-2 * time.Hour), Late: true, Items: []dock.Item{item(3, "IMG_1054.JPG", handoff.KindPhoto, "stored")},
				Heard: &dock.Heard{From: 1000, Until: 9000, Failed: "the speech engine did not answer."}},
			{ID: rec(4), Slot: "2", Recorder: "BZ02713", Items: []dock.Item{item(4, "NOR_1.MP4", handoff.KindVideo, "stored")}, Header: &header, Flags: []string{"no-voice", "late", "certificate-invalid"},
				Note: &evidence.Note{By: "Zhao Lei", Text: "Two boxes listed.\nThe party signed."}},
		},
		register: &transport.Register{Departments: []string{"Market Supervision", "Transport Inspection"}, Causes: []string{"Unlicensed sale", "Expired food", "Overloaded lorry"}, Places: []string{"East Market", "Harbour Road 12"},
			Activities: []string{"On-site inspection", "Sealing of premises", "Seizure"}, Officers: []transport.Officer{
				{Name: "Li Wei", Certificate: "33010001", ValidUntil: "2028-06-30", Department: "Market Supervision"}, {Name: "Wang Fang", Certificate: "33010002", ValidUntil: "2028-06-30", Department: "Market Supervision"},
				{Name: "Zhao Lei", Certificate: "33010003", ValidUntil: "2026-01-31", Department: "Market Supervision"}}}}
}

// tone is a second of sound as a WAV file (RIFF, PCM, 16 kHz, mono, 16 bits).
func tone() []byte {
	const rate = 16000
	var data bytes.Buffer
	for i := range rate {
		_ = binary.Write(&data, binary.LittleEndian, int16(8000*math.Sin(float64(i)*440*2*math.Pi/rate)))
	}
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(36+data.Len()))
	b.WriteString("WAVEfmt ")
	_ = binary.Write(&b, binary.LittleEndian, []uint32{16, 1 | 1<<16, rate, 2 * rate, 2 | 16<<16})
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(data.Len()))
	b.Write(data.Bytes())
	return b.Bytes()
}

// clock is the kiosk's time: it stands still until it is set forward.
type clock struct{ past atomic.Int64 }

func (c *clock) Now() time.Time          { return at.Add(time.Duration(c.past.Load())) }
func (c *clock) forward(d time.Duration) { c.past.Add(int64(d)) }

// serve runs a kiosk.
func serve(t *testing.T, s *station) (*httptest.Server, *clock, *bytes.Buffer) {
	t.Helper()
	c, logged := new(clock), new(bytes.Buffer)
	h, err := kiosk.New(kiosk.Config{Station: s, Now: c.Now, Log: slog.New(slog.NewTextHandler(logged, nil)), Hosts: []string{"dock-3.example"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() {
		server.CloseClientConnections() // pages stay connected
		server.Close()
	})
	return server, c, logged
}
