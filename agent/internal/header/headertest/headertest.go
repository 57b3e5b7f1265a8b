// Package headertest has spoken headers to test and measure with: a department's register, twenty headers with what they say, and voices
// (Debian's espeak-ng and flite) that speak them.
package headertest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"camseal/agent/internal/header/sound"
	"camseal/pkg/transport"
)

// Voices are five voices: three men and a woman with three accents, two ways of making speech.
var Voices = []string{"flite:slt", "flite:rms", "flite:awb", "espeak-ng:en-us", "espeak-ng:en-gb"}

// Say speaks a text and returns it as 16 kHz mono. A voice is "flite:NAME" or "espeak-ng:NAME".
func Say(ctx context.Context, voice, text string) ([]int16, error) {
	program, name, _ := strings.Cut(voice, ":")
	dir, err := os.MkdirTemp("", "say")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	raw, wav := filepath.Join(dir, "raw.wav"), filepath.Join(dir, "out.wav")
	cmd := exec.CommandContext(ctx, "flite", "-voice", name, "-o", raw, "-t", text)
	if program == "espeak-ng" {
		cmd = exec.CommandContext(ctx, "espeak-ng", "-v", name, "-s", "150", "-w", raw, text)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", voice, err, out)
	}
	if err := Sox(ctx, "-G", raw, "-r", "16000", "-b", "16", "-c", "1", "-e", "signed-integer", wav); err != nil {
		return nil, err
	}
	return Samples(ctx, wav)
}

// Samples reads any file that sox reads as 16 kHz mono.
func Samples(ctx context.Context, name string, effects ...string) ([]int16, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, "sox", append([]string{"-D", name, "-t", "raw", "-r", "16000", "-b", "16", "-c", "1", "-e", "signed-integer", "-"}, effects...)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("sox: %w: %s", err, said.Bytes())
	}
	s := make([]int16, out.Len()/2)
	for i := range s {
		s[i] = int16(uint16(out.Bytes()[2*i]) | uint16(out.Bytes()[2*i+1])<<8)
	}
	return s, nil
}

// Sox runs sox.
func Sox(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "sox", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("sox: %w: %s", err, out)
	}
	return nil
}

// Silence is n seconds of nothing.
func Silence(seconds float64) []int16 { return make([]int16, int(seconds*sound.Rate)) }

// WordErrors counts the words that were heard wrong, left out or added (Levenshtein), and those that were said.
func WordErrors(said, heard []string) (errors, words int) {
	row := make([]int, len(heard)+1)
	for j := range row {
		row[j] = j
	}
	for i, s := range said {
		before := row[0]
		row[0] = i + 1
		for j, h := range heard {
			cost := before
			if s != h {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(heard)], len(said)
}

// Register is a department's register.
func Register() *transport.Register {
	officer := func(name, certificate, department string) transport.Officer {
		return transport.Officer{Name: name, Certificate: certificate, Department: department, ValidUntil: "2030-12-31"}
	}
	const market, city, fire, traffic = "Market Supervision Bureau", "City Management Office", "Fire and Rescue Brigade", "Transport Enforcement Team"
	return &transport.Register{
		Departments: []string{market, city, fire, traffic},
		Officers: []transport.Officer{
			officer("Li Wei", "123456", market), officer("Zhang Min", "204817", market), officer("Alan Walker", "730195", market),
			officer("Wang Xiaoming", "564210", city), officer("Mary Jones", "881023", city), officer("Chen Jing", "319046", city),
			officer("Liu Yang", "447702", fire), officer("Robert Hughes", "650938", fire), officer("Zhao Lei", "902315", fire),
			officer("Sun Qiang", "178364", traffic), officer("Susan Miller", "295571", traffic), officer("Guo Hua", "836640", traffic),
		},
		Causes: []string{"unlicensed sale", "expired food", "blocked fire exit", "overloaded truck", "illegal parking", "false weights",
			"unlicensed building", "noise at night", "waste dumping", "counterfeit goods", "unregistered taxi", "storage of fireworks"},
		Places: []string{"East Market", "North Gate Station", "Harbour Road 15", "People's Square", "Lanzhou Street", "Riverside Park", "Central Hospital",
			"Old Bridge", "West Industrial Zone", "Railway Hotel", "Anning District", "Highway Exit 7"},
		Activities: []string{"inspection", "seizure", "hearing", "service of documents"},
	}
}

// Header is a spoken header and what it says.
type Header struct {
	Text       string
	Department string // as in the register; empty: not said
	Officers   string
	Cause      string
	Time       string
	Place      string
}

// Headers are twenty, in orders and words as people choose them. The last two leave elements out; two name what is not in the register.
func Headers() []Header {
	const market, city, fire, traffic = "Market Supervision Bureau", "City Management Office", "Fire and Rescue Brigade", "Transport Enforcement Team"
	return []Header{
		{"This is officer Li Wei, certificate one two three four five six, of the Market Supervision Bureau, at East Market, cause unlicensed sale, time nine thirty.", market, "Li Wei 123456", "unlicensed sale", "09:30", "East Market"},
		{"Market Supervision Bureau, officer Zhang Min, certificate number two zero four eight one seven. Cause expired food. Time ten fifteen. Place People's Square.", market, "Zhang Min 204817", "expired food", "10:15", "People's Square"},
		{"I am Alan Walker from the Market Supervision Bureau, certificate seven three zero one nine five. It is two forty five p m. We are at Riverside Park because of counterfeit goods.", market, "Alan Walker 730195", "counterfeit goods", "14:45", "Riverside Park"},
		{"City Management Office. Officers Wang Xiaoming, certificate five six four two one zero, and Mary Jones, certificate eight eight one zero two three. Cause illegal parking. Place Central Hospital. Time eleven o'clock.", city, "Wang Xiaoming 564210; Mary Jones 881023", "illegal parking", "11:00", "Central Hospital"},
		{"My name is Chen Jing, certificate number three one nine zero four six, City Management Office. The cause is waste dumping. The place is Old Bridge. The time is eight twenty a m.", city, "Chen Jing 319046", "waste dumping", "08:20", "Old Bridge"},
		{"This is the Fire and Rescue Brigade. Officer Liu Yang, certificate four four seven seven zero two. We are at the Railway Hotel. Cause blocked fire exit. Time sixteen ten.", fire, "Liu Yang 447702", "blocked fire exit", "16:10", "Railway Hotel"},
		{"Officer Robert Hughes of the Fire and Rescue Brigade, certificate six five zero nine three eight. Storage of fireworks at West Industrial Zone. Time thirteen oh five.", fire, "Robert Hughes 650938", "storage of fireworks", "13:05", "West Industrial Zone"},
		{"Time seven forty. Place Highway Exit seven. Cause overloaded truck. Officer Sun Qiang, certificate one seven eight three six four, Transport Enforcement Team.", traffic, "Sun Qiang 178364", "overloaded truck", "07:40", "Highway Exit 7"},
		{"Transport Enforcement Team, officer Susan Miller, certificate two nine five five seven one. Cause unregistered taxi. Place North Gate Station. Time twenty two thirty.", traffic, "Susan Miller 295571", "unregistered taxi", "22:30", "North Gate Station"},
		{"We are officers Guo Hua and Sun Qiang of the Transport Enforcement Team. The place is Lanzhou Street. The cause is illegal parking. The time is half past nine.", traffic, "Guo Hua 836640; Sun Qiang 178364", "illegal parking", "09:30", "Lanzhou Street"},
		{"Good morning. Recording has started. Officer Zhao Lei, certificate nine zero two three one five, Fire and Rescue Brigade, at Harbour Road fifteen, cause blocked fire exit, time ten o'clock.", fire, "Zhao Lei 902315", "blocked fire exit", "10:00", "Harbour Road 15"},
		{"Department City Management Office. Officer Mary Jones. Certificate eight eight one zero two three. Cause noise at night. Time twenty three fifteen. Place Anning District.", city, "Mary Jones 881023", "noise at night", "23:15", "Anning District"},
		{"Today is the fourth of August, time nine fifty. Officer Li Wei, Market Supervision Bureau, certificate one two three four five six. Inspection at East Market, cause false weights.", market, "Li Wei 123456", "false weights", "08-04 09:50", "East Market"},
		{"Officer Wang Xiaoming, City Management Office. We are inspecting an unlicensed building in Anning District. It is three twenty p m.", city, "Wang Xiaoming 564210", "unlicensed building", "15:20", "Anning District"},
		{"This is Susan Miller, certificate number two nine five five seven one, with officer Guo Hua, certificate number eight three six six four zero, Transport Enforcement Team. Cause overloaded truck at Highway Exit seven. Time six thirty five.", traffic, "Susan Miller 295571; Guo Hua 836640", "overloaded truck", "06:35", "Highway Exit 7"},
		{"Fire and Rescue Brigade, officer Liu Yang, certificate four four seven seven zero two. Cause storage of fireworks. Place Lanzhou Street. Time fourteen hundred hours.", fire, "Liu Yang 447702", "storage of fireworks", "14:00", "Lanzhou Street"},
		{"Officer Chen Jing, certificate three one nine zero four six, City Management Office, at People's Square. Cause broken street lamp. Time twelve thirty.", city, "Chen Jing 319046", "broken street lamp", "12:30", "People's Square"},
		{"Market Supervision Bureau. Officer Alan Walker, certificate seven three zero one nine five. Cause expired food. Place Golden Dragon Restaurant. Time eighteen forty.", market, "Alan Walker 730195", "expired food", "18:40", "Golden Dragon Restaurant"},
		{"Officer Zhang Min, certificate two zero four eight one seven. Cause counterfeit goods. Place Railway Hotel.", "", "Zhang Min 204817", "counterfeit goods", "", "Railway Hotel"},
		{"Transport Enforcement Team. Cause unregistered taxi. Time one fifteen p m. Place Central Hospital.", traffic, "", "unregistered taxi", "13:15", "Central Hospital"},
	}
}
