// Package mask takes what is about a person out of a vendor's words: vendors repeat what they were sent.
package mask

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/onhook/onhook/pkg/call"
)

const (
	shortValue = 4   // characters; what is shorter is masked as a word alone, or little would be left of others
	part       = 12  // bytes; a value may be repeated in part, and no part that is as long stays
	pattern    = 300 // bytes of a value that are looked for at once
)

// Names are the customer's names, which a vendor may know without being told.
func Names(k *call.Call) []string {
	if k.Customer == nil {
		return nil
	}
	return append([]string{k.Customer.Name}, strings.Fields(k.Customer.Name)...)
}

// Value is a message without a value, whatever its case, and without the parts of a long one; nor has it these as JSON
// writes them, as whole requests are repeated too.
func Value(m, value string) string {
	m = plain(m, value)
	if quoted, err := json.Marshal(value); err == nil && len(quoted) != len(value)+2 {
		m = plain(m, string(quoted[1:len(quoted)-1]))
	}
	return m
}

func plain(m, value string) string {
	if value = strings.TrimSpace(value); utf8.RuneCountInString(value) < 2 {
		return m
	}
	quoted := "(?i:" + regexp.QuoteMeta(Cut(value, pattern)) + ")"
	if utf8.RuneCountInString(value) < shortValue {
		return regexp.MustCompile(`(^|[^\pL\pN])`+quoted+`($|[^\pL\pN])`).ReplaceAllString(m, "${1}***${2}")
	}
	m = regexp.MustCompile(quoted).ReplaceAllString(m, "***")
	if len(value) < part {
		return m
	}
	covered := make([]bool, len(m))
	lower, value := lowerASCII(m), lowerASCII(value)
	for i := 0; i+part <= len(m); i++ {
		if strings.Contains(value, lower[i:i+part]) {
			for k := i; k < i+part; k++ {
				covered[k] = true
			}
		}
	}
	var b strings.Builder
	for i, r := range m {
		if !covered[i] {
			b.WriteRune(r)
		} else if i == 0 || !covered[i-1] {
			b.WriteString("***")
		}
	}
	return b.String()
}

// lowerASCII is as long as s, in bytes, which strings.ToLower need not be.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// Cut is s up to n bytes, on a rune boundary.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
