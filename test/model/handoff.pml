/*
 * The hand-off from commit to release: source, target, orchestrator, their disk, a fence and a person.
 * Checked to its end by `npm test` (test/model/model.test.ts); docs/protocol.md has it in words.
 *
 * Messages.  Each kind is one bit.  Once it is set, the message may arrive at any time, any number of
 * times, in any order, or never: so it may be lost, late, and doubled.  Its attempt and generation are
 * what makes this one attempt a world of its own.
 *
 * Time.  There is none: whatever a limit of time might end may end at any moment.
 *
 * Crashes.  A helper that dies changes nothing here, since its deputy goes on from the same state
 * (agent/native/source/deputy.h); if both die, the kernel holds the machine until it is reset, which
 * somebody sees on its console.  Machines are reset, lose power and get it back; the orchestrator
 * dies and comes back with what its journal has.  How often is bounded, so that the model ends; a
 * stopped one that wakes up late is an interleaving like any other.
 *
 * Every transition happens a bounded number of times, and fate may leave it at that at any moment. So each
 * run comes to an end at which nothing can happen any more: progress is a property of these ends.
 *
 * `s_ran` and `t_ran` say that a machine has touched the world with the state of the snapshot or a
 * later one.  Never both: what the one has promised to a client, the other would not know of.
 */

mtype = { frozen, committed, going, releasing, aborting, fencing, reverting, moved, rolled_back, in_doubt };
mtype = { none, commit, go, release, source };

/* The orchestrator's journal, and what it only has in memory. */
mtype st = frozen;
mtype dec = none;
bool up = true;
bool jump_ordered = false;

/* Helper on either body: the names of agent/native/common/state.h; then what a reset makes of it. */
mtype = { sent, given_up, released, thawing, resumed, owner, loading, ready, off, booting, booted, standby, held };
mtype s = sent;
mtype t = loading;

/* The record on the disk, which a booting machine reads first. */
mtype = { of_source, moving, of_target };
mtype disk = moving;

bool s_ran, t_ran;

/* Messages: m_FROM_WHAT. */
bool m_s_given_up, m_s_thawed, m_s_claim;
bool m_t_ready, m_t_waiting, m_t_not_jumped, m_t_alive, m_t_thawed, m_t_claim;
bool m_o_commit, m_o_jump, m_o_go, m_o_thaw, m_o_release, m_o_abort, m_o_yours_s, m_o_yours_t;

/* A fence that was ordered strikes now, later, or never; what it says is another thing. */
bool fence_under_way;

#ifndef RESETS
#define RESETS 2	/* of each machine */
#endif
#ifndef DEATHS
#define DEATHS 1	/* of the orchestrator */
#endif
byte s_resets, t_resets, deaths;

#define MOVE(from, to)	st == from -> st = to
#define S_MOVE(from, to) s == from -> s = to
#define T_MOVE(from, to) t == from -> t = to

#define s_runs	(s == thawing || s == booted)
#define t_runs	(t == owner || t == booted)
/* The target's word that it holds no image any more. */
#define idle	(m_t_not_jumped || m_t_waiting)

/*
 * Nor beside a target that has resumed: that one touches nothing without go, but whoever lets the source
 * run has to know that it is not there.
 */
inline S_RUNS()
{
	s_ran = true;
	assert(!t_ran && t != resumed && t != held)
}

inline T_RESUMES()
{
	t = resumed;
	m_t_alive = true;
	assert(!s_runs)
}

inline T_RUNS()
{
	t_ran = true;
	assert(!s_ran)
}

/* The last copy is not let go before the other was seen to run. */
inline RELEASE()
{
	dec = release;
	m_o_release = true;
	assert(t_ran)
}

/* The target does not run and will not: the source may. */
inline TO_SOURCE()
{
	dec = source;
	m_o_thaw = true;
	m_o_abort = true
}

active proctype Source()
{
end:
	do
	/* By its own limits, a broken link, the end of its lease, or an abort. */
	:: atomic { S_MOVE(sent, thawing); S_RUNS(); m_s_thawed = true }
	:: atomic { m_o_commit && S_MOVE(sent, given_up); m_s_given_up = true }
	:: atomic { m_o_thaw && S_MOVE(given_up, thawing); S_RUNS(); m_s_thawed = true }
	:: atomic { m_o_release && S_MOVE(given_up, released) }
#ifdef MUTATE_THAW_AFTER_COMMIT
	:: atomic { S_MOVE(given_up, thawing); S_RUNS(); m_s_thawed = true }
#endif
	/* Whoever runs is the owner, and writes that down. */
	:: atomic { s_runs && disk != of_source -> disk = of_source }
	/* The boot guard. */
	:: atomic { s == booting && disk == of_source -> s = booted; S_RUNS() }
	:: atomic { s == booting && disk == moving && !m_s_claim -> m_s_claim = true }
	:: atomic { s == booting && disk == moving && m_o_yours_s -> s = booted; S_RUNS() }
	:: atomic { s == booting && disk == of_target -> s = standby }
#ifdef MUTATE_NO_BOOT_GUARD
	:: atomic { s == booting -> s = booted; S_RUNS() }
#endif
	od
}

active proctype Target()
{
end:	do
	:: atomic { t == loading -> t = ready; m_t_ready = true }
	:: atomic { (t == loading || t == ready) && m_o_abort -> t = standby; m_t_waiting = true }
	:: atomic { t == ready && m_o_jump -> T_RESUMES() }
	:: atomic { t == ready && m_o_jump -> t = standby; m_t_not_jumped = true }
	:: atomic { m_o_go && T_MOVE(resumed, owner); T_RUNS(); m_t_thawed = true }
#ifdef MUTATE_RUN_BEFORE_GO
	:: atomic { T_MOVE(resumed, owner); T_RUNS(); m_t_thawed = true }
#endif
	:: atomic { t_runs && disk != of_target -> disk = of_target }
	/* Who waits holds nothing of any attempt, whoever owns the state. */
	:: atomic { (t == booting || t == standby) && !m_t_waiting -> m_t_waiting = true }
	:: atomic { t == booting && disk == of_target -> t = booted; T_RUNS(); m_t_thawed = true }
	:: atomic { t == booting && disk == moving && !m_t_claim -> m_t_claim = true }
	:: atomic { t == booting && disk == moving && m_o_yours_t -> t = booted; T_RUNS(); m_t_thawed = true }
	:: atomic { t == booting && disk == of_source -> t = standby }
	od
}

/* Each state that is entered is in the journal before anything is sent. */
active proctype Orchestrator()
{
end:	do
	:: atomic { up && m_t_ready && MOVE(frozen, committed); dec = commit; m_o_commit = true }
	:: atomic { up && MOVE(frozen, aborting); m_o_abort = true }
	:: atomic { up && MOVE(aborting, rolled_back) }
	:: atomic { up && st == committed && !jump_ordered && m_s_given_up && !m_s_thawed ->
		    jump_ordered = true; m_o_jump = true }
#ifdef MUTATE_NO_GIVEN_UP
	:: atomic { up && st == committed && !jump_ordered -> jump_ordered = true; m_o_jump = true }
#endif
	:: atomic { up && m_t_alive && MOVE(committed, going); dec = go; m_o_go = true }
	/* It was never ordered to jump, or says that it did not. */
	:: atomic { up && (!jump_ordered || idle) && MOVE(committed, reverting);
		    TO_SOURCE() }
#ifdef MUTATE_THAW_BY_TIMEOUT
	:: atomic { up && MOVE(committed, reverting); TO_SOURCE() }
#endif
	:: atomic { up && jump_ordered && MOVE(committed, fencing); fence_under_way = true }
	/* A record that could not be written. */
	:: atomic { up && MOVE(committed, in_doubt) }
	:: atomic { up && (t == off || idle) && MOVE(fencing, reverting);
		    TO_SOURCE() }
	:: atomic { up && MOVE(fencing, in_doubt) }
#ifdef MUTATE_GO_IN_FENCING
	:: atomic { up && m_t_alive && MOVE(fencing, going); dec = go; m_o_go = true }
#endif
	:: atomic { up && (m_s_thawed || s_runs) && MOVE(reverting, rolled_back) }
	:: atomic { up && MOVE(reverting, in_doubt) }
	:: atomic { up && dec == commit && m_t_waiting && MOVE(in_doubt, in_doubt); TO_SOURCE() }
	/* A standby that says hello with the image still there is told to drop it. */
	:: atomic { up && st == in_doubt && dec == commit && t == ready && !m_o_abort -> m_o_abort = true }
	/* A person has seen that the target is off. */
	:: atomic { up && dec == commit && t == off && MOVE(in_doubt, in_doubt); TO_SOURCE() }
	:: atomic { up && dec == source && (m_s_thawed || s_runs) && MOVE(in_doubt, rolled_back) }
	:: atomic { up && (m_t_thawed || t_runs) && MOVE(going, releasing); RELEASE() }
	:: atomic { up && MOVE(going, moved) }
#ifdef MUTATE_RELEASE_BY_GO
	:: atomic { up && st == moved && dec == go -> RELEASE() }
#endif
	:: atomic { up && MOVE(releasing, moved) }
	:: atomic { up && dec == go && (m_t_thawed || t_runs) && MOVE(moved, moved);
		    RELEASE() }
	/* Who boots asks, again and again. */
	:: atomic { up && m_s_claim && !m_o_yours_s && (dec == source || (dec == none && (st == aborting || st == rolled_back))) ->
		    m_o_yours_s = true }
	:: atomic { up && m_t_claim && !m_o_yours_t && (dec == go || dec == release) -> m_o_yours_t = true }
	/* It comes back with what the journal has. */
	:: atomic { !up && (st == frozen || st == aborting) -> up = true; st = rolled_back; m_o_abort = true }
	:: atomic { !up && (st == committed || st == fencing || st == reverting) -> up = true; st = in_doubt }
	:: atomic { !up && (st == going || st == releasing) -> up = true; st = moved }
	:: atomic { !up && (st == moved || st == rolled_back || st == in_doubt) -> up = true }
	od
}

active proctype Fate()
{
end:	do
	:: atomic { s != booting && s != off && s_resets < RESETS -> s_resets++; s = booting }
	:: atomic { s != off && s_resets < RESETS -> s_resets++; s = off }
	:: atomic { t != booting && t != off && t_resets < RESETS -> t_resets++; t = booting }
	:: atomic { t != off && t_resets < RESETS -> t_resets++; t = off }
	:: atomic { s == given_up -> s = held }
	:: atomic { t == resumed -> t = held }
	:: atomic { up && deaths < DEATHS -> deaths++; up = false; jump_ordered = false }
#ifdef MUTATE_FORGET_COMMIT
	:: atomic { up && dec == commit && deaths < DEATHS -> deaths++; up = false; jump_ordered = false;
		    st = frozen; dec = none }
#endif
	/* That was all that went wrong. */
	:: break
	/* Too late to be believed, but not too late to strike. */
	:: atomic { fence_under_way -> fence_under_way = false; t = off;
		    assert(dec != go && dec != release) }
	od
}

/* Somebody who turns machines on, resets those that hang, and pulls the plug of a target when nobody else can. */
active proctype Person()
{
end:	do
	:: atomic { s == off -> s = booting }
	:: atomic { t == off -> t = booting }
	:: atomic { s == held -> s = booting }
	:: atomic { t == held -> t = booting }
	:: atomic { up && st == in_doubt && dec == commit && t != off && t != standby -> t = off }
	od
}

/* When nothing is left to happen one of them runs, whatever was lost on the way. */
active proctype Judge()
{
	timeout ->
	assert((s_runs && !t_runs) || (t_runs && !s_runs))
}
