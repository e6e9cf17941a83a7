-- +goose Up
-- What became of each call at each CRM sink: the last outcome.
CREATE TABLE deliveries (
	sink      text NOT NULL,
	provider  text NOT NULL,
	source    text NOT NULL,
	call_id   text NOT NULL, -- as in calls
	event     text NOT NULL,
	result    text NOT NULL, -- delivered, dead or skipped
	vendor_id text,
	note      text,
	error     text,
	attempts  bigint NOT NULL,
	at        timestamptz NOT NULL,
	PRIMARY KEY (source, call_id, provider, sink, event) -- in this order it also finds those of a call
);
CREATE INDEX deliveries_sink_at ON deliveries (sink, at);

-- +goose Down
DROP TABLE deliveries;
