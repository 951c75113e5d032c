-- What agents have spent, and may spend. Money is in millionths of a dollar.
--
-- keys: usage meta

-- The budgets of a task and its feature, and what was spent of them and today. `task_budget`, `feature_budget`: as
-- configured ('': none); what a person set comes before them.
local function open_account(task, task_budget, feature_budget)
  local set = redis.call('HMGET', meta_key, 'budget ' .. task, 'budget')
  local used = redis.call('HMGET', usage_key, 'spent ' .. task, 'tokens ' .. task, 'requests ' .. task, 'spent')
  local today = redis.call('HGET', shared(string.format('usage:%d', math.floor(now / 86400000))), 'spent')
  local budgets = { task = tonumber(set[1] or task_budget), feature = tonumber(set[2] or feature_budget) }
  local spent = { task = tonumber(used[1] or 0), feature = tonumber(used[4] or 0), day = tonumber(today or 0) }
  local tokens, requests = tonumber(used[2] or 0), tonumber(used[3] or 0)

  -- {spent on the task, tokens and requests of the task, spent on the feature, spent today on all, the budget of the task and of the
  -- feature (-1: none), ms until the next day}
  local function figures()
    return {
      spent.task,
      tokens,
      requests,
      spent.feature,
      spent.day,
      budgets.task or -1,
      budgets.feature or -1,
      86400000 - now % 86400000,
    }
  end

  return { budgets = budgets, spent = spent, figures = figures }
end
