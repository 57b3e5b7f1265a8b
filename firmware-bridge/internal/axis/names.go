package axis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names, bytes (Swift's own).
const (
	maxContainerName = 256
	maxObjectName    = 1024
)

// fileName makes a name that is safe in one folder out of any valid UTF-8: letters, digits and a few signs stay, everything else becomes
// %XX, and so does a leading dot. Different names give different file names: a sign that is not in the name itself, ~, stands before the hash
// that ends a name that would be too long.
func fileName(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r == '.' && i == 0:
			b.WriteString("%2E")
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune("._-:+@=,() ", r):
			b.WriteRune(r)
		default:
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	s := b.String()
	if len(s) <= 200 {
		return s
	}
	h := sha256.Sum256([]byte(name))
	cut := 120
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "~" + hex.EncodeToString(h[:16])
}

// nameOf undoes fileName; false: the name was too long to stand in a file name.
func nameOf(file string) (string, bool) {
	if strings.Contains(file, "~") {
		return "", false
	}
	name, err := url.PathUnescape(file)
	return name, err == nil
}

// checkName refuses what no system of origin has reason to send.
func checkName(what, name string, limit int) error {
	switch {
	case name == "":
		return refusef(400, "The name of the %s is empty.", what)
	case len(name) > limit:
		return refusef(400, "The name of the %s has %d bytes; at most %d are possible.", what, len(name), limit)
	case !utf8.ValidString(name):
		return refusef(400, "The name of the %s is not UTF-8.", what)
	case strings.ContainsFunc(name, unicode.IsControl):
		return refusef(400, "The name of the %s contains a control character.", what)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." {
			return refusef(400, "The name of the %s contains %q as a folder.", what, part)
		}
	}
	return nil
}
