package hubspot

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// validNumber is s where it is a number that can be called, in E.164, and empty otherwise. Nothing is added to it. The 1
// of mobile numbers in Mexico, which is no part of them since 2019, is dropped.
func validNumber(s string) string {
	if rest, ok := strings.CutPrefix(s, "+521"); ok && len(rest) == 10 {
		s = "+52" + rest
	}
	n, err := phonenumbers.Parse(s, "")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

// national is what HubSpot's search wants of a number: without its country code.
func national(e164 string) string {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return ""
	}
	return phonenumbers.GetNationalSignificantNumber(n)
}

// isNumber reports whether what someone typed into a contact means the number, as one would dial it in its country.
func isNumber(typed, e164 string) bool {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return false
	}
	t, err := phonenumbers.Parse(typed, phonenumbers.GetRegionCodeForNumber(n))
	return err == nil && validNumber(phonenumbers.Format(t, phonenumbers.E164)) == e164
}
