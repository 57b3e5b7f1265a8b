package kiosk_test

import (
	"bytes"
	"strings"
	"testing"

	"camseal/agent/internal/dock"
	"camseal/agent/internal/kiosk"
)

// The terminal says what the page says, columns under each other, and obeys no name.
func TestTerminal(t *testing.T) {
	snap := newStation(8).snap
	snap.Headers, snap.Online, snap.TPM, snap.Alarms = 3, false, "no answer for 40 s", []string{"The disk is nearly full."}
	snap.Tiles = append(snap.Tiles, dock.Tile{Slot: "9", State: dock.TileCopied, Officer: "\x1b[2J\u202eevil\r\n"})
	for lang, want := range map[string][]string{
		"en": {"Station 3 · Dock · ○ offline: everything is kept here", "812 GiB free here", "09:52:11", "✗ The TPM does not answer as it should: no answer for 40 s.", "✗ The disk is nearly full.", "! Headers to confirm: 3, late: 1 (also of recorders that are gone)",
			"1  ↓ Reading                     43 % · 2 min  Li Wei", "2  ✓ Safe to take, do not erase  ", "Copied and sealed here.", "! export overdue since 2026-11-24 13:52", "5  ■ Stored, may be erased", "6  ✗ Fault", "The card gave read errors", "goes first"},
		"zh-CN": {"Station 3 · 采集站 · ○ 离线", "! 待确认的执法信息说明：3，其中逾期：1", "1  ↓ 采集中                    43 % · 约 2 分钟", "2  ✓ 已采集，可取走，请勿清空", "3  ! 待确认执法信息说明", "! 导出已逾期：2026-11-24 13:52", "■ 已入库，可按许可清空", "电量 81 %"},
	} {
		var b bytes.Buffer
		if err := kiosk.Terminal(&b, snap, lang); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(b.String(), text) {
				t.Errorf("%s: does not say %q:\n%s", lang, text, &b)
			}
		}
		if strings.ContainsAny(b.String(), "\x1b\r\u202e\u200b") || strings.Count(b.String(), "\n") != 14 {
			t.Errorf("%s: a name moves the cursor: %q", lang, &b)
		}
		t.Logf("\n%s", &b)
	}
}
