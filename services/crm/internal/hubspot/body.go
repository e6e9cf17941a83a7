package hubspot

import (
	"encoding/json"
	"html"
	"maps"
	"slices"
	"strings"

	"github.com/onhook/onhook/pkg/call"
)

const truncated = "… truncated"

// bodyWriter writes HTML into a property of limited room. Elements are opened only when they can be closed too, and
// text ends where the room does, never within a character or its escape.
type bodyWriter struct {
	b    strings.Builder
	room int // units of UTF-16
	full bool
}

func (w *bodyWriter) element(open, closing string, content func()) {
	n := units(open) + units(closing)
	if w.full || n > w.room {
		w.full = true
		return
	}
	w.room -= n
	w.b.WriteString(open)
	content()
	w.b.WriteString(closing)
}

func (w *bodyWriter) text(s string) {
	for _, r := range clean(s) {
		e := string(r)
		switch r {
		case '\r':
			continue
		case '\n':
			e = "<br>"
		case '<', '>', '&', '"', '\'':
			e = html.EscapeString(e)
		}
		if w.full || units(e) > w.room {
			w.full = true
			return
		}
		w.room -= units(e)
		w.b.WriteString(e)
	}
}

// body is what stands in the call's description: the summary, what was extracted, the link, the transcript.
func (c *Client) body(k *call.Call, extracted map[string]json.RawMessage, link string) string {
	link = html.EscapeString(clean(link))
	notice := "<p>" + truncated + "</p>"
	if link != "" {
		notice = "<p>" + truncated + `, full transcript: <a href="` + link + `">` + link + "</a></p>"
	}
	w := &bodyWriter{room: textRoom - units(notice)}
	if k.Analysis != nil && k.Analysis.Summary != "" {
		w.element("<p>", "</p>", func() { w.text(k.Analysis.Summary) })
	}
	if len(extracted) > 0 {
		w.element("<ul>", "</ul>", func() {
			for _, key := range slices.Sorted(maps.Keys(extracted)) {
				w.element("<li>", "</li>", func() {
					w.text(key + ": " + scalar(extracted[key]))
				})
			}
		})
	}
	if link != "" {
		w.element(`<p><a href="`+link+`">`, "</a></p>", func() { w.text(html.UnescapeString(link)) })
	}
	if c.cfg.Transcript && k.Transcript.Text != "" {
		w.element("<p>", "</p>", func() { w.text(k.Transcript.Text) })
	}
	if w.full {
		w.b.WriteString(notice)
	}
	return w.b.String()
}
