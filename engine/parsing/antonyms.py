"""Antonyms: words that turn a message into its opposite, which no template replaces with a wildcard.

"VM Started" and "VM Paused" differ in one token of two or three, which is less than what Drain takes
for a parameter. Here such words are literal: a message joins a template only if both have the same
ones at the same places. `Started,` and `state=started` are such words, `/started` is not: the token has
no other letters or digits, or none after an equals sign, and no slash.
"""

_WORDS = """
start starts started starting startup restart restarted restarting
stop stops stopped stopping shutdown halt halted halting terminate terminated terminating kill killed
pause paused pausing suspend suspended resume resumed resuming
up down on off
open opened opening close closed closing
connect connected connecting disconnect disconnected disconnecting
enable enabled enabling disable disabled disabling
activate activated active deactivate deactivated inactive idle
accept accepted reject rejected refuse refused deny denied allow allowed permitted forbidden grant granted revoked
success successful successfully succeed succeeded succeeds ok fail fails failed failing failure failures
error errors warning
valid invalid available unavailable reachable unreachable
online offline alive dead healthy unhealthy ready unready
create created creating delete deleted deleting remove removed removing add added adding
destroy destroyed destroying spawned
load loaded loading unload unloaded mount mounted unmount unmounted
lock locked unlock unlocked acquire acquired release released
attach attached detach detached register registered unregister unregistered
login logout increase increased decrease decreased gained lost
send sent sending receive received receiving read write reading writing
present missing found redirected limited
get head post put patch
=root
""".split()
ANTONYMS = frozenset(_WORDS)
"""Lower-case words. `=root` matches root only as a value (`user=root`), not as the actor."""
