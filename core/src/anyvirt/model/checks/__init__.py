"""Rules between fields, by topic; ``anyvirt.model.check`` puts them together."""
