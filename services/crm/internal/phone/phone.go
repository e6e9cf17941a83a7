// Package phone compares telephone numbers, and invents none.
package phone

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// E164 is a number in the form that people are matched by, or empty where raw is no valid number with its country
// code. Nothing is added to a number: a country is not guessed.
func E164(raw string) string {
	if !strings.HasPrefix(raw, "+") {
		return ""
	}
	return parse(raw, "ZZ")
}

// Same reports whether stored, which people type as they like, can be read as number. A country code that is not
// written is taken to be number's own: this only compares, nothing is stored.
func Same(stored, number string) bool {
	n, err := phonenumbers.Parse(number, "ZZ")
	return err == nil && parse(stored, phonenumbers.GetRegionCodeForNumber(n)) == number
}

func parse(raw, region string) string {
	n, err := phonenumbers.Parse(raw, region)
	if err != nil {
		return ""
	}
	// Mexican mobiles were written +52 1 and ten digits until 2019; the 1 is no longer part of any number.
	if national := phonenumbers.GetNationalSignificantNumber(n); n.GetCountryCode() == 52 && len(national) == 11 && national[0] == '1' {
		if n, err = phonenumbers.Parse("+52"+national[1:], "ZZ"); err != nil {
			return ""
		}
	}
	if !phonenumbers.IsValidNumber(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

// National is the number without its country code, as people write it.
func National(number string) string {
	n, err := phonenumbers.Parse(number, "ZZ")
	if err != nil {
		return ""
	}
	return phonenumbers.GetNationalSignificantNumber(n)
}
