"""A client tried against servers that read the document differently.

plugin.py     `pytest --stepstub-readings`: a test in one trial after another
commands.py   `stepstub try`: any command likewise
section.py    what is said at the end, as text; html_report.py as a page
outcomes.py   what became of each, and its JSON
explaining.py which values of a trial are to blame
noticing.py   what a client could have noticed, by the journal of its default run
limit.py      a test that does not end is interrupted
choice.py     what to try: readings, and variations
"""
