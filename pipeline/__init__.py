"""The experiment machinery: config check, stages fit - evaluate - attack, the store, records and provenance."""
