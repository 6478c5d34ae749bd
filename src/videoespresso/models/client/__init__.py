"""One call of a chat model, in the order in which it happens.

    ModelClient.typed(prompt, turns, schema)      client.py    of which an Agent is one
      Request                       request.py    what is asked, and its key in the reply cache
      a cached reply is read again; in batch mode the request is collected and `Deferred` is raised
      structured_output(ask)        structured_output.py   the form of each attempt: JSON schema,
        |                                         tool or prompt; reads and mends the reply
        Sender.attempt(Attempt)     retry.py      one attempt, tried again while that may help
          RateLimit.ask             rate_limit.py waits until it is this caller's turn
          endable                   interruption.py   until here Ctrl-C ends it; then it is finished
          Budget.start              budget.py     sets aside the most the call can cost
          Request.messages          messages.py   turns and images as LangChain messages
          Request.runnable(...).invoke            the LangChain model: models/chat.py
          model_errors              errors.py     what an SDK raises becomes a ModelError
          model_reply               messages.py   the message as a ModelReply, keys taken out
          RequestUsage              usage.py      tokens and dollars (prices.py), charged
      the reply is stored in the cache and returned as a Reply

`text` and `called` differ in the third step only: `plain_text` and `tool_calls`.
"""
