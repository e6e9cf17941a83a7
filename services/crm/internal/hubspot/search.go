package hubspot

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/onhook/onhook/services/crm/internal/phone"
)

// The properties of contacts that HubSpot's search has for numbers: without country code, punctuation or extension.
const (
	searchPhone  = "hs_searchable_calculated_phone_number"
	searchMobile = "hs_searchable_calculated_mobile_number"
)

const searchPages = 50 // of 200; HubSpot gives no more than 10,000 results

type filter struct {
	Property string   `json:"propertyName"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

type filterGroup struct {
	Filters []filter `json:"filters"`
}

// searchByNumber finds contacts that have the number, but not our key. HubSpot compares less than the whole number, so
// what it finds is compared here.
func (c *Client) searchByNumber(ctx context.Context, people []*person) error {
	for chunk := range slices.Chunk(people, searchNumbers) {
		found, err := c.searchPages(ctx, chunk)
		if err != nil {
			if err := spread(chunk, err); err != nil {
				return err
			}
			continue
		}
		for _, p := range chunk {
			p.choose(found)
		}
	}
	return nil
}

func (c *Client) searchPages(ctx context.Context, people []*person) ([]result, error) {
	var values []string
	for _, p := range people {
		if n := phone.National(p.number); !slices.Contains(values, n) {
			values = append(values, n)
		}
	}
	body := map[string]any{
		"filterGroups": []filterGroup{{[]filter{{searchPhone, "IN", values}}}, {[]filter{{searchMobile, "IN", values}}}},
		"properties":   c.wanted("phone", "mobilephone"),
		"limit":        200,
	}
	var found []result
	for range searchPages {
		var ans batchAnswer
		if err := c.do(ctx, http.MethodPost, contactsSearch, body, &ans); err != nil {
			return nil, err
		}
		found = append(found, ans.Results...)
		if ans.Paging.Next.After == "" {
			break
		}
		body["after"] = string(ans.Paging.Next.After)
	}
	return found, nil
}

// choose takes the oldest of the contacts that have the number.
func (p *person) choose(found []result) {
	var have []result
	for _, r := range found {
		if phone.Same(string(r.Properties["phone"]), p.number) || phone.Same(string(r.Properties["mobilephone"]), p.number) {
			have = append(have, r)
		}
	}
	if len(have) == 0 {
		return
	}
	oldest := slices.MinFunc(have, func(a, b result) int {
		if d := a.created().Compare(b.created()); d != 0 {
			return d
		}
		if d := len(a.ID) - len(b.ID); d != 0 { // ids are numbers
			return d
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	p.id, p.has = string(oldest.ID), oldest.Properties
	if len(have) > 1 {
		p.note = "several contacts have its number: the oldest was taken"
	}
}
