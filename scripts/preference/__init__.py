import gc

# Importing torch and transformers makes a million objects and next to no garbage, and the collector, which by default
# looks after every 700 new ones, goes through them again and again: a tenth of the time that a short stage takes.
gc.set_threshold(50_000)
