"""`probe watch`: knocks and sessions for the minutes of a change. (`service/watch.py` follows sources.)"""
