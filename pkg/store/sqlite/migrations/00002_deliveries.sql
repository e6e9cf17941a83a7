-- +goose Up
-- What became of each call at each CRM sink: the last outcome.
CREATE TABLE deliveries (
	sink      TEXT NOT NULL,
	provider  TEXT NOT NULL,
	source    TEXT NOT NULL,
	call_id   TEXT NOT NULL, -- as in calls
	event     TEXT NOT NULL,
	result    TEXT NOT NULL, -- delivered, dead or skipped
	vendor_id TEXT,
	note      TEXT,
	error     TEXT,
	attempts  INTEGER NOT NULL,
	at        TEXT NOT NULL,
	PRIMARY KEY (source, call_id, provider, sink, event) -- in this order it also finds those of a call
);
CREATE INDEX deliveries_sink_at ON deliveries (sink, at);

-- +goose Down
DROP TABLE deliveries;
